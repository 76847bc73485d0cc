//! What commands print on standard output.

use std::io::{self, Write as _};

/// Prints `text`. A reader that has closed the pipe, as `head` does, has read enough: that is no error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}
