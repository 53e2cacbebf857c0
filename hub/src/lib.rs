//! The central service of a fleet of edge clusters.

pub mod admin;
pub mod api;
pub mod cli;
pub mod client;
pub mod enrol;
pub mod founding;
pub mod limits;
pub mod manifest;
mod peers;
pub mod print;
pub mod run;
pub mod service;
