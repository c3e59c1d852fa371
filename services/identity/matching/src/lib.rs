//! Probabilistic record linkage for people.

#![forbid(unsafe_code)]

pub mod batch;
pub mod block;
pub mod cluster;
mod compare;
pub mod corpus;
mod defaults;
pub mod evaluate;
pub mod explain;
pub mod frequency;
pub mod guard;
pub mod level;
pub mod lexicon;
pub mod model;
pub mod nickname;
pub mod normalize;
pub mod online;
pub mod phonetic;
pub mod record;
pub mod score;
pub mod similarity;
pub mod train;
pub mod weight;
