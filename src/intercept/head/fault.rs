//! What can be wrong with a message head or with the framing of its body.

use http::StatusCode;

/// A request that was refused before it was one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadFault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The method, as far as it is legible; at most 32 characters.
    pub method: Option<String>,
    /// The request target, as far as it is legible; at most 1024 characters.
    pub target: Option<String>,
}

macro_rules! fault_kinds {
    ($($(#[doc = $doc:literal])+ $name:ident $code:literal $status:ident $text:literal,)+) => {
        /// What is wrong with a head, or with a body's framing (RFC 9112).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FaultKind { $($(#[doc = $doc])+ $name,)+ }

        impl FaultKind {
            /// Every kind, for tests and documentation.
            pub const ALL: &[FaultKind] = &[$(FaultKind::$name),+];

            /// A stable code in `snake_case`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(FaultKind::$name => $code,)+ }
            }

            /// The status that RFC 9110 has for it.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(FaultKind::$name => StatusCode::$status,)+ }
            }
        }

        impl std::fmt::Display for FaultKind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(FaultKind::$name => $text,)+ })
            }
        }
    };
}

fault_kinds! {
    /// A line feed without a carriage return before it.
    BareLf "bare_lf" BAD_REQUEST "a line ends in LF without CR",
    /// A carriage return without a line feed after it.
    BareCr "bare_cr" BAD_REQUEST "a CR is not followed by LF",
    /// A NUL or another control byte.
    ControlByte "control_byte" BAD_REQUEST "the head holds a control byte",
    /// A request line that is not `method SP target SP version`.
    RequestLine "request_line" BAD_REQUEST "the request line is not a method, a target and a version with one space between",
    /// A method that is no token (RFC 9110 §5.6.2), or longer than every known one.
    Method "method" BAD_REQUEST "the method is not a token of 32 bytes at most",
    /// A target that is in none of the four forms.
    Target "target" BAD_REQUEST "the request target is malformed",
    /// Neither HTTP/1.1 nor HTTP/1.0.
    Version "version" HTTP_VERSION_NOT_SUPPORTED "the version is neither HTTP/1.1 nor HTTP/1.0",
    /// A field line that begins with a space or tab (RFC 9112 §5.2).
    ObsFold "obs_fold" BAD_REQUEST "a field is folded over several lines",
    /// No colon, an empty name, a space before the colon, or a name that is no token.
    FieldName "field_name" BAD_REQUEST "a field line has no valid name before its colon",
    /// No `Host`.
    HostMissing "host_missing" BAD_REQUEST "there is no Host field",
    /// Several `Host`, or one that names several.
    HostSeveral "host_several" BAD_REQUEST "there is more than one Host",
    /// A `Host` that is empty or holds a space.
    HostMalformed "host_malformed" BAD_REQUEST "the Host field is malformed",
    /// A `Content-Length` that is no number, or several, equal ones included.
    ContentLength "content_length" BAD_REQUEST "Content-Length is not exactly one number",
    /// A `Transfer-Encoding` other than `chunked`, or several, or in HTTP/1.0.
    TransferEncoding "transfer_encoding" BAD_REQUEST "Transfer-Encoding is not exactly `chunked`",
    /// Both of them.
    LengthAndEncoding "length_and_encoding" BAD_REQUEST "there are both Content-Length and Transfer-Encoding",
    /// A CONNECT that announces a body, or one inside a tunnel.
    Connect "connect" BAD_REQUEST "CONNECT has a body or stands inside a tunnel",
    /// More bytes than the limit.
    HeadTooLarge "head_too_large" REQUEST_HEADER_FIELDS_TOO_LARGE "the head is too large",
    /// More field lines than the limit.
    TooManyFields "too_many_fields" REQUEST_HEADER_FIELDS_TOO_LARGE "the head has too many fields",
    /// The head was begun and not finished in time.
    HeadTimeout "head_timeout" REQUEST_TIMEOUT "the head was not complete in time",
    /// A chunk-size line that is not a hexadecimal number with well-formed extensions, or data of another length.
    Chunk "chunk" BAD_REQUEST "the chunked body is malformed",
    /// A trailer section that is malformed or too large.
    Trailers "trailers" BAD_REQUEST "the trailer section is malformed",
    /// The HTTP library read the head differently than the check: never seen, and refused.
    Disagreement "disagreement" BAD_REQUEST "the head can be read in more than one way",
}

/// A body whose framing is broken, as the error of the stream that the HTTP library reads.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::intercept) struct FramingFault(pub(in crate::intercept) FaultKind);

#[cfg(test)]
mod tests {
    use super::FaultKind;
    use std::collections::HashSet;

    #[test]
    fn codes_are_distinct_and_every_status_is_a_client_error_or_505() {
        let codes: HashSet<_> = FaultKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), FaultKind::ALL.len());
        for kind in FaultKind::ALL {
            assert!(kind.status().is_client_error() || kind.status().as_u16() == 505, "{kind:?}");
        }
    }
}
