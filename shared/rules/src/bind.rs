//! Goes through every name of a program, to give it a slot.

use crate::{
    facts::Name,
    program::{Over, Tally, Term, Test},
    references::Reference,
};

/// Says which slot a name gets.
pub(crate) type Slots<'f> = &'f mut dyn FnMut(Reference<'_>) -> Option<u32>;

impl Test {
    pub(crate) fn bind(&mut self, slots: Slots<'_>) {
        match self {
            Self::Const(_) => {}
            Self::All(tests) | Self::Any(tests) => tests.iter_mut().for_each(|test| test.bind(slots)),
            Self::Not(test) => test.bind(slots),
            Self::Choose(tests) => tests.iter_mut().for_each(|test| test.bind(slots)),
            Self::Truth(term) | Self::Present(term) | Self::OneOf(term, _) | Self::Matches(term, _) => term.bind(slots),
            Self::Compare(_, sides) | Self::Within(sides) | Self::Text(_, sides) => {
                sides.iter_mut().for_each(|side| side.bind(slots));
            }
            Self::Against(against) => against.path.bind(slots(Reference::Attribute(&against.path))),
            Self::CountIs(_, tally, _) => tally.bind(slots),
            Self::Among(term, others) => {
                term.bind(slots);
                others.iter_mut().for_each(|other| other.bind(slots));
            }
            Self::Told(topic) => topic.bind(slots(Reference::Topic(topic))),
            Self::InSegment(segment) => segment.bind(slots(Reference::Segment(segment))),
            Self::Quantified(quantified) => {
                match &mut quantified.over {
                    Over::Term(term) => term.bind(slots),
                    Over::Terms(terms) => terms.iter_mut().for_each(|term| term.bind(slots)),
                }
                quantified.test.bind(slots);
            }
            Self::Unanswered(unanswered) => {
                unanswered.asked.bind(slots);
                bind_event(&mut unanswered.answer, slots);
            }
        }
    }
}

impl Term {
    fn bind(&mut self, slots: Slots<'_>) {
        match self {
            Self::Const(_) | Self::Duration(_) | Self::Now | Self::OccurredAt | Self::Item => {}
            Self::Attribute(path, _) => path.bind(slots(Reference::Attribute(path))),
            Self::Field(path, _) => path.bind(slots(Reference::Field(path))),
            Self::Statement(topic, _) => topic.bind(slots(Reference::Topic(topic))),
            Self::Member(term, _)
            | Self::Negate(term)
            | Self::Size(term)
            | Self::Letters(_, term)
            | Self::Convert(_, term)
            | Self::Part(_, term) => term.bind(slots),
            Self::Index(sides) | Self::Arithmetic(_, sides) => sides.iter_mut().for_each(|side| side.bind(slots)),
            Self::Test(test) => test.bind(slots),
            Self::Choose(parts) => {
                let (test, yes, no) = &mut **parts;
                test.bind(slots);
                yes.bind(slots);
                no.bind(slots);
            }
            Self::Count(tally) | Self::Last(tally) | Self::First(tally) => tally.bind(slots),
            Self::Sum(tally, field) => {
                tally.bind(slots);
                field.bind(slots(Reference::Field(field)));
            }
        }
    }
}

impl Tally {
    fn bind(&mut self, slots: Slots<'_>) {
        bind_event(&mut self.event, slots);
        if let Some(filter) = &mut self.filter {
            filter.bind(slots);
        }
    }
}

fn bind_event(event: &mut Name, slots: Slots<'_>) {
    event.bind(slots(Reference::Event(event)));
}
