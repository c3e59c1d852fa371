//! The service over a real store, called as peers call it; the owners of the profile are played.

mod decide;
mod definitions;
mod migration;
mod relationship;
mod replay;
mod world;
