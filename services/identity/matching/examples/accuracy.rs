use identity_matching::{batch::match_records, corpus::Corpus, evaluate, guard::CannotLinks, model::Model, score::Scorer, train};
use people::{People, published};

fn run(name: &str, people: People, verbose: bool) {
    let start = std::time::Instant::now();
    let mut corpus = Corpus::new();
    for record in &people.records { corpus.push(record); }
    let model = train::adapt(&Model::default(), &mut corpus);
    let outcome = match_records(&model, &corpus, &CannotLinks::default());
    let c = evaluate::clusters(&people.truth, &outcome.cluster);
    println!("{name:12} P {:.4} R {:.4} F1 {:.5}  fp {} fn {}  pairs {} stop {} {:.2}s", c.precision(), c.recall(), c.f1(), c.false_positives, c.false_negatives, outcome.blocking.pairs, outcome.blocking.stop_keys, start.elapsed().as_secs_f64());
    if !verbose { return; }
    let weights = model.weights();
    let scorer = Scorer::new(&corpus, &weights);
    let show = |i: u32| { let r = &people.records[i as usize]; format!("{:?} {:?} {:?} {:?} {:?} {:?}", r.names.first().map(|n| (&n.given,&n.middle,&n.family,&n.full)), r.birth_date, r.addresses.first().map(|a| format!("{} {} {} {} {}|{}",a.number,a.street,a.locality,a.postcode,a.region,a.full)), r.emails, r.phones, r.identifiers.iter().map(|i|&i.value).collect::<Vec<_>>()) };
    let n = people.records.len() as u32;
    let mut shown = 0;
    let mut groups: std::collections::BTreeMap<&str, Vec<u32>> = Default::default();
    for i in 0..n { groups.entry(&people.truth[i as usize]).or_default().push(i); }
    println!("--- missed");
    for g in groups.values() { for (k, a) in g.iter().enumerate() { for b in &g[k+1..] {
        if outcome.cluster[*a as usize] != outcome.cluster[*b as usize] && shown < 2000 { shown += 1;
            println!("{} {:?} {}\n   {}\n   {}", scorer.score(*a,*b), scorer.pattern(*a,*b).0, identity_matching::guard::vetoes(&corpus,&CannotLinks::default(),*a,*b), show(*a), show(*b)); }
    }}}
    println!("--- wrong");
    let mut groups: std::collections::BTreeMap<u32, Vec<u32>> = Default::default();
    for i in 0..n { groups.entry(outcome.cluster[i as usize]).or_default().push(i); }
    shown = 0;
    for g in groups.values() { for (k, a) in g.iter().enumerate() { for b in &g[k+1..] {
        if people.truth[*a as usize] != people.truth[*b as usize] && shown < 2000 { shown += 1;
            println!("{} {:?}\n   {}\n   {}", scorer.score(*a,*b), scorer.pattern(*a,*b).0, show(*a), show(*b)); }
    }}}
}

fn main() {
    let which = std::env::args().nth(1);
    let v = |n: &str| which.as_deref() == Some(n);
    run("febrl4", published::febrl4(true).unwrap().unwrap(), v("febrl4"));
    run("febrl4-nossn", published::febrl4(false).unwrap().unwrap(), v("febrl4-nossn"));
    run("fake_1000", published::fake_1000().unwrap().unwrap(), v("fake_1000"));
    run("rldata10000", published::rldata10000().unwrap().unwrap(), v("rldata10000"));
    run("senzing", published::senzing_truth_set().unwrap().unwrap(), v("senzing"));
}
