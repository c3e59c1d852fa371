//! The rule language from outside.

mod clock;
mod differential;
mod hostile;
mod meaning;
mod mistakes;
