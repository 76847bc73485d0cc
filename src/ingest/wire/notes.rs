//! What a scan remarks without stopping: it spoils a span, but not the request.

/// Remarks on one span, one scope or one resource.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Notes {
    /// The first text that is not UTF-8.
    pub(super) not_utf8: Option<&'static str>,
    /// Some string was given as an index into a table, which traces do not have.
    pub(super) string_index: bool,
}

impl Notes {
    /// `bytes` as text, empty with a remark if they are none.
    #[inline]
    pub(super) fn text<'a>(&mut self, bytes: &'a [u8], field: &'static str) -> &'a str {
        if let Ok(text) = std::str::from_utf8(bytes) {
            return text;
        }
        self.not_utf8.get_or_insert(field);
        ""
    }

    /// `bytes` again, with a remark if they are no text.
    #[inline]
    pub(super) fn check<'a>(&mut self, bytes: &'a [u8], field: &'static str) -> &'a [u8] {
        if !bytes.is_ascii() {
            self.text(bytes, field);
        }
        bytes
    }
}
