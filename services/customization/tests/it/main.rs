//! The service over a real store, called as peers call it; the owners of the profile are played.

mod decide;
mod definitions;
mod relationship;
mod replay;
mod world;
