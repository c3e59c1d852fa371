//! Synthetic people, seeded: households, twins, juniors, movers, nicknames, typing errors, missing values.

use identity_matching::{
    lexicon::mix,
    record::{Address, BirthDate, PersonName, Record},
};

use crate::People;

/// SplitMix64: the same people for the same seed, on every machine.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(mix(seed))
    }
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    /// Whether something of this probability happens.
    fn chance(&mut self, probability: f64) -> bool {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64 <= probability
    }
    /// A number below `n`, small ones far more often, as names are distributed (Zipf).
    fn zipf(&mut self, n: usize) -> usize {
        let u = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        (((n as f64).powf(u) - 1.0) as usize).min(n - 1)
    }
}

const GIVEN: [[&str; 40]; 2] = [
    [
        "Mary",
        "Patricia",
        "Jennifer",
        "Linda",
        "Elizabeth",
        "Barbara",
        "Susan",
        "Jessica",
        "Sarah",
        "Karen",
        "Lisa",
        "Nancy",
        "Margaret",
        "Sandra",
        "Ashley",
        "Kimberly",
        "Emily",
        "Donna",
        "Michelle",
        "Carol",
        "Amanda",
        "Melissa",
        "Deborah",
        "Stephanie",
        "Rebecca",
        "Sharon",
        "Laura",
        "Cynthia",
        "Dorothy",
        "Amy",
        "Kathleen",
        "Angela",
        "Shirley",
        "Emma",
        "Brenda",
        "Pamela",
        "Nicole",
        "Anna",
        "Samantha",
        "Katherine",
    ],
    [
        "James",
        "Robert",
        "John",
        "Michael",
        "David",
        "William",
        "Richard",
        "Joseph",
        "Thomas",
        "Charles",
        "Christopher",
        "Daniel",
        "Matthew",
        "Anthony",
        "Mark",
        "Donald",
        "Steven",
        "Andrew",
        "Paul",
        "Joshua",
        "Kenneth",
        "Kevin",
        "Brian",
        "George",
        "Timothy",
        "Ronald",
        "Jason",
        "Edward",
        "Jeffrey",
        "Ryan",
        "Jacob",
        "Gary",
        "Nicholas",
        "Eric",
        "Jonathan",
        "Stephen",
        "Larry",
        "Justin",
        "Scott",
        "Brandon",
    ],
];

/// Some of the nicknames that are written instead.
const NICKNAMES: [(&str, &str); 14] = [
    ("Robert", "Bob"),
    ("William", "Bill"),
    ("Richard", "Dick"),
    ("Elizabeth", "Liz"),
    ("Margaret", "Peggy"),
    ("James", "Jim"),
    ("Katherine", "Kate"),
    ("Michael", "Mike"),
    ("Patricia", "Pat"),
    ("Thomas", "Tom"),
    ("Jennifer", "Jenny"),
    ("Joseph", "Joe"),
    ("Susan", "Sue"),
    ("Edward", "Ted"),
];

const ONSETS: [&str; 16] = ["b", "br", "ch", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "st", "w"];
const VOWELS: [&str; 8] = ["a", "e", "i", "o", "u", "ai", "ee", "ou"];
const CODAS: [&str; 10] = ["", "n", "r", "s", "l", "ck", "nd", "rt", "ll", "m"];

/// A word for a number: the same number, the same word.
fn word(number: usize, salt: u64) -> String {
    let mut dice = Dice::new(number as u64 ^ salt << 32);
    let mut word = String::new();
    for syllable in 0..2 + dice.below(2) {
        word += ONSETS[dice.below(ONSETS.len())];
        word += VOWELS[dice.below(VOWELS.len())];
        if syllable > 0 {
            word += CODAS[dice.below(CODAS.len())];
        }
    }
    word[..1].to_uppercase() + &word[1..]
}

/// Half of all people share few names, the rest have one of thousands.
fn given_name(dice: &mut Dice, female: bool) -> String {
    if dice.chance(0.5) {
        GIVEN[usize::from(!female)][dice.below(40)].to_owned()
    } else {
        word(dice.zipf(4_000), if female { 4 } else { 5 })
    }
}

#[derive(Clone)]
struct Home {
    number: usize,
    street: String,
    locality: String,
    postcode: String,
}

impl Home {
    fn new(dice: &mut Dice) -> Home {
        let city = dice.zipf(3_000);
        Home {
            number: 1 + dice.below(300),
            street: format!("{} {}", word(dice.zipf(5_000), 2), ["Street", "Road", "Avenue", "Lane"][dice.below(4)]),
            locality: word(city, 3),
            postcode: format!("{:05}", 10_000 + city * 17 + dice.below(12)),
        }
    }
}

#[derive(Clone)]
struct Person {
    female: bool,
    given: String,
    middle: String,
    surname: String,
    suffix: &'static str,
    born: (u16, usize, usize),
    home: Home,
    email: String,
    phone: String,
}

/// `count` records of about two thirds as many people.
pub fn people(count: usize, seed: u64) -> People {
    let mut dice = Dice::new(seed);
    let mut people = People::default();
    let mut persons = 0;
    while people.records.len() < count {
        for person in household(&mut dice) {
            persons += 1;
            let mut copies = 1;
            while copies < 6 && dice.chance(0.35) {
                copies += 1;
            }
            let mut person = person;
            for copy in 0..copies {
                if people.records.len() == count {
                    break;
                }
                if copy > 0 && dice.chance(0.12) {
                    person.home = Home::new(&mut dice);
                }
                people.truth.push(persons.to_string());
                people.records.push(record(&mut dice, &person, people.records.len()));
            }
        }
    }
    people
}

fn household(dice: &mut Dice) -> Vec<Person> {
    let home = Home::new(dice);
    let surname = word(dice.zipf(60_000), 1);
    let landline = number(dice);
    let mut members: Vec<Person> = Vec::new();
    let size = 1 + dice.below(4);
    for place in 0..size {
        let child = place > 1;
        let female = if child { dice.chance(0.5) } else { place == 1 };
        // Names within a family differ, unless a son is named after his father.
        let mut given = given_name(dice, female);
        while members.iter().any(|member| member.given == given) {
            given = given_name(dice, female);
        }
        let mut person = Person {
            female,
            middle: given_name(dice, female),
            surname: surname.clone(),
            suffix: "",
            born: (if child { 1985 } else { 1940 } + dice.below(35) as u16, 1 + dice.below(12), 1 + dice.below(28)),
            home: home.clone(),
            email: String::new(),
            phone: if dice.chance(0.4) { landline.clone() } else { number(dice) },
            given,
        };
        if child && !female && dice.chance(0.08) {
            members[0].suffix = "Sr";
            (person.given, person.middle, person.suffix) = (members[0].given.clone(), members[0].middle.clone(), "Jr");
        } else if place > 2 && dice.chance(0.06) {
            // A twin.
            person.born = members[place - 1].born;
        }
        person.email =
            format!("{}.{}{}@{}", person.given, person.surname, dice.below(1000), HOSTS[dice.zipf(HOSTS.len())]);
        members.push(person);
    }
    members
}

const HOSTS: [&str; 6] =
    ["mail.example", "post.example", "inbox.example", "work.example", "uni.example", "home.example"];

fn number(dice: &mut Dice) -> String {
    format!("{:03}-{:03}-{:04}", 201 + dice.below(700), 200 + dice.below(700), dice.below(10_000))
}

/// What one source says about a person.
fn record(dice: &mut Dice, person: &Person, index: usize) -> Record {
    let mut given = person.given.clone();
    if dice.chance(0.05)
        && let Some((_, nickname)) = NICKNAMES.iter().find(|(formal, _)| *formal == given)
    {
        given = (*nickname).to_owned();
    }
    let (mut given, mut family) = (said(dice, &given, 0.02), said(dice, &person.surname, 0.02));
    if dice.chance(0.01) {
        std::mem::swap(&mut given, &mut family);
    }
    let (year, mut month, mut day) = person.born;
    if dice.chance(0.02) {
        day = 1 + dice.below(28);
    }
    if dice.chance(0.01) && day <= 12 {
        std::mem::swap(&mut month, &mut day);
    }
    let born = format!("{year:04}-{month:02}-{day:02}");
    let home = &person.home;
    Record {
        key: index as u128,
        names: vec![PersonName {
            given,
            middle: if dice.chance(0.3) { person.middle.clone() } else { String::new() },
            family,
            suffix: if dice.chance(0.7) { person.suffix.into() } else { String::new() },
            full: String::new(),
        }],
        birth_date: (!dice.chance(0.1)).then_some(BirthDate::Text(born)),
        addresses: vec![Address {
            number: home.number.to_string(),
            street: said(dice, &home.street, 0.05),
            locality: said(dice, &home.locality, 0.03),
            postcode: said(dice, &home.postcode, 0.05),
            ..Address::default()
        }],
        emails: vec![said(dice, &person.email, 0.35)],
        phones: vec![said(dice, &person.phone, 0.3)],
        gender: dice.chance(0.5).then(|| if person.female { "F".into() } else { "M".into() }),
        ..Record::default()
    }
}

/// A value as it is typed: sometimes not at all, sometimes wrong.
fn said(dice: &mut Dice, value: &str, missing: f64) -> String {
    if dice.chance(missing) {
        return String::new();
    }
    let mut letters: Vec<char> = value.chars().collect();
    if letters.len() > 2 && dice.chance(0.06) {
        let at = 1 + dice.below(letters.len() - 1);
        match dice.below(4) {
            0 => drop(letters.remove(at)),
            1 => letters.insert(at, letters[at - 1]),
            2 => letters.swap(at - 1, at),
            _ if letters[at].is_ascii_digit() => letters[at] = char::from(b'0' + dice.below(10) as u8),
            _ => letters[at] = char::from(b'a' + dice.below(26) as u8),
        }
    }
    letters.into_iter().collect()
}
