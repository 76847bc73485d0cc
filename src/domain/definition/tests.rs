//! Whole files in, problems or a catalog out.
