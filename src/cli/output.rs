//! The standard output of commands.

use std::io::{self, Write as _};

/// Prints `text`. If the reader has closed the pipe, as `head` does, that is not an error.
pub(super) fn print(text: &str) -> io::Result<()> {
    print_more(text).map(drop)
}

/// Prints `text`, and returns whether the reader is still there.
pub(super) fn print_more(text: &str) -> io::Result<OutputReader> {
    let mut out = io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(OutputReader::Reads),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(OutputReader::Gone),
        Err(error) => Err(error),
    }
}

/// The reader of standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputReader {
    Reads,
    Gone,
}
