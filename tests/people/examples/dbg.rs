use identity_matching::{block::Blocks, cluster::{components, Edge}, corpus::Corpus, model::Model, score::Scorer, train};
fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let people = people::synthetic::people(n, 1);
    let mut corpus = Corpus::new();
    for r in &people.records { corpus.push(r); }
    let prepared = train::prepare(&Model::default(), &mut corpus);
    let mut t = train::Trainer::new(&prepared, &corpus, &[]);
    t.run(10, |s| println!("{} {} {} {}", s.round, s.change, s.prior, s.relatives));
    let model = t.model();
    for c in identity_matching::level::Comparison::ALL { let p = model.probabilities(c); println!("{c:?}"); for l in 1..p.m.len() { println!("  {:40} m {:.4} u {:.7} w {}", c.levels()[l], p.m[l], p.u[l], p.weight(l as u8)); } }
    let weights = model.weights();
    let scorer = Scorer::new(&corpus, &weights);
    let mut edges = vec![]; let mut fp = 0; let mut shown = 0;
    let rep = Blocks::new(&corpus, &model.stop_keys).for_each_pair(|a, b| { let score = scorer.score(a, b); if score >= model.thresholds.merge {
        if people.truth[a as usize] != people.truth[b as usize] { fp += 1; if shown < 25 && (a ^ b) % 7 == 0 { shown += 1; println!("{score} {:?}\n {:?}\n {:?}", scorer.pattern(a,b).0, people.records[a as usize], people.records[b as usize]); } }
        edges.push(Edge { a, b, score }) } });
    println!("{:#?}", rep);
    println!("edges {} fp {}", edges.len(), fp);
    let mut sizes: Vec<usize> = components(scorer, &edges).iter().map(|c| c.len()).collect(); sizes.sort(); println!("{:?}", &sizes[sizes.len().saturating_sub(20)..]);
}
