//! Station 7.
