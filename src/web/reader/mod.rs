//! The reader's settings: the time that a page shows, and the time zone.

mod as_of;
mod banner;
pub(super) mod page;
mod replica;
mod time_zone;
pub(super) mod times;

pub use self::replica::ReadReplica;
pub(super) use self::{
    as_of::{AsOf, CatalogAsOf, parse_set},
    banner::{PastBanner, permalink},
    replica::{age, choose_source},
    time_zone::choose as choose_time_zone,
};
