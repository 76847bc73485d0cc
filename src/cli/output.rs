//! What commands print on standard output.

use std::io::{self, Write as _};

/// Prints `text`. A reader that has closed the pipe, as `head` does, has read enough: that is no error.
pub(super) fn print(text: &str) -> io::Result<()> {
    print_more(text).map(drop)
}

/// Prints `text` and tells whether somebody still reads.
pub(super) fn print_more(text: &str) -> io::Result<OutputReader> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(OutputReader::Reads),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(OutputReader::Gone),
        Err(error) => Err(error),
    }
}

/// The other end of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputReader {
    Reads,
    Gone,
}
