//! Matching: which records are one person. Pure functions of records and a model; no I/O, no clock, no randomness.
//!
//! A pair is judged by Fellegi and Sunter's model: each comparison finds a level of agreement, each level has a match
//! weight log2(m/u), and the sum with the prior is the score. Three kinds of pairs are told apart: one person,
//! strangers, and relatives, who share a surname, an address and a phone without being one.
//!
//! | module | what is in it |
//! |---|---|
//! | [`record`] | what is handed in |
//! | [`normalize`], [`nickname`], [`phonetic`], [`similarity`] | values that can be compared |
//! | [`lexicon`], `sketch`, [`corpus`] | interned values, packed records |
//! | [`level`], `compare` | comparisons and their levels |
//! | [`model`], [`weight`], [`frequency`], `defaults` | m, u, prior, thresholds, frequencies of values |
//! | [`score`], [`explain`] | the score of a pair, and why |
//! | [`block`] | which pairs are looked at |
//! | [`guard`] | what forbids a merge |
//! | [`cluster`], [`batch`], [`online`] | people from pairs: all at once, or one record at a time with the same outcome |
//! | [`train`] | fitting a model without labels |
//! | [`evaluate`] | how right clusters are |

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
mod sketch;
pub mod train;
pub mod weight;
