//! Normalisation by type of field: what was typed becomes what can be compared.

pub mod address;
pub mod contact;
pub mod date;
pub mod name;
pub mod text;
