//! The pages and the API over a database with four weeks in it.

mod browser;
mod fixture;
mod status;
