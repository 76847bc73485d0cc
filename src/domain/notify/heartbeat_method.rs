//! The HTTP method of a heartbeat to a webhook.

use std::str::FromStr;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeartbeatMethod {
    #[default]
    Post,
    /// No body, for monitors that only count requests.
    Get,
}

impl FromStr for HeartbeatMethod {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "post" => Ok(Self::Post),
            "get" => Ok(Self::Get),
            _ => Err("write `post` or `get`".to_owned()),
        }
    }
}
