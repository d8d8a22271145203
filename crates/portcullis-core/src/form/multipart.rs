//! Turns a `multipart/form-data` body (RFC 7578) into fields.
//!
//! One pass over the body, without a copy of any file. Leniency is python-multipart's: there
//! may be padding after a delimiter but not after the first, a line end before the first delimiter
//! but no other preamble, and the body may stop anywhere, which loses the part it stops in.

use std::borrow::Cow;
use std::convert::Infallible;
use std::mem;

use memchr::memmem::Finder;
use memchr::{memchr, memrchr};

use super::charset::Charset;
use super::{Field, FieldValue, FormError, MAX_FIELDS, MAX_TEXT_LEN, Text, params};

pub(super) fn parse<'a>(
    body: &'a [u8],
    boundary: &[u8],
    charset: Charset,
) -> Result<Vec<Field<'a>>, FormError> {
    if boundary.len() > MAX_BOUNDARY_LEN {
        return Err(FormError::InvalidMultipart);
    }
    let delimiter = [b"\r\n--", boundary].concat();
    let mut reader = Reader {
        rest: body,
        delimiter: &delimiter,
        finder: Finder::new(&delimiter),
        charset,
        fields: Vec::new(),
    };
    match reader.read() {
        Err(Stop::End) => Ok(reader.fields),
        Err(Stop::Error(error)) => Err(error),
    }
}

struct Reader<'a, 'd> {
    /// What has not been read yet.
    rest: &'a [u8],
    /// What ends a part: a line end, two hyphens, the boundary.
    delimiter: &'d [u8],
    finder: Finder<'d>,
    charset: Charset,
    fields: Vec<Field<'a>>,
}

impl<'a> Reader<'a, '_> {
    /// Reads part after part until there is a reason to stop.
    fn read(&mut self) -> Result<Infallible, Stop> {
        let (mut texts, mut files) = (0, 0);
        self.first_delimiter()?;
        loop {
            let disposition = self.headers()?;
            let [name, filename] = params::parameters(disposition, ["name", "filename"]);
            let name = name.ok_or(FormError::MissingName)?;
            let (count, too_many) = match filename {
                Some(_) => (&mut files, FormError::TooManyFiles),
                None => (&mut texts, FormError::TooManyFields),
            };
            *count += 1;
            if *count > MAX_FIELDS {
                return Err(too_many.into());
            }

            let content = self.content();
            let value = match filename {
                Some(filename) if content.is_empty() && is_blank(&filename) => {
                    FieldValue::BlankFile
                }
                Some(_) => FieldValue::File,
                None if content.len() > MAX_TEXT_LEN => return Err(FormError::PartTooLarge.into()),
                None => FieldValue::Text(self.charset.decode(content)),
            };
            let is_last = self.rest.starts_with(b"--");
            if !is_last {
                self.skip_padding();
                self.expect(b"\r\n")?;
            }
            self.fields.push(Field {
                name: self.decode(name),
                value,
            });
            if is_last {
                return Err(Stop::End);
            }
        }
    }

    fn first_delimiter(&mut self) -> Result<(), Stop> {
        if let [b'\r' | b'\n', ..] = self.rest {
            let hyphen = memchr(b'-', self.rest).ok_or(Stop::End)?;
            self.rest = &self.rest[hyphen..];
        }
        self.expect(&self.delimiter[2..])?;
        match self.rest {
            [b'-'] | [b'-', b'-', ..] => Err(Stop::End),
            _ => self.expect(b"\r\n"),
        }
    }

    /// Reads the headers of a part, and returns the last `Content-Disposition`; empty if there is
    /// none. No other header of a part means anything (RFC 7578 §4.8).
    fn headers(&mut self) -> Result<&'a [u8], Stop> {
        let mut disposition = &[][..];
        let mut lines = 0;
        while *self.rest.first().ok_or(Stop::End)? != b'\r' {
            lines += 1;
            if lines > MAX_HEADER_LINES {
                return Err(FormError::InvalidMultipart.into());
            }
            let (name, value) = self.header_line()?;
            if name.eq_ignore_ascii_case(b"content-disposition") {
                disposition = value;
            }
        }
        self.expect(b"\r\n")?;
        Ok(disposition)
    }

    fn header_line(&mut self) -> Result<(&'a [u8], &'a [u8]), Stop> {
        let end = memchr(b'\r', self.rest).unwrap_or(self.rest.len());
        let (line, rest) = self.rest.split_at(end);
        if line.len() > MAX_HEADER_LINE_LEN {
            return Err(FormError::InvalidMultipart.into());
        }
        let colon = match line.iter().position(|&byte| !is_token(byte)) {
            Some(colon) if colon > 0 && line[colon] == b':' => colon,
            None if rest.is_empty() => return Err(Stop::End),
            _ => return Err(FormError::InvalidMultipart.into()),
        };
        self.rest = rest;
        self.expect(b"\r\n")?;
        Ok((&line[..colon], &line[colon + 1..]))
    }

    /// Reads up to the next delimiter, and leaves what follows it. Leaves nothing if the body stops
    /// first, even within the delimiter.
    fn content(&mut self) -> &'a [u8] {
        let rest = mem::take(&mut self.rest);
        for start in self.finder.find_iter(rest) {
            let after = &rest[start + self.delimiter.len()..];
            match after {
                [b'\r', b'\n', ..] | [b'-', b'-', ..] | [b' ' | b'\t', ..] => self.rest = after,
                [] | [b'\r'] | [b'-'] => {}
                // Content that merely begins like a delimiter.
                _ => continue,
            }
            return &rest[..start];
        }
        // The start of a delimiter does not count towards the size of the part.
        let tail = &rest[rest.len().saturating_sub(self.delimiter.len() - 1)..];
        let cut = memrchr(b'\r', tail)
            .map(|start| &tail[start..])
            .filter(|end| self.delimiter.starts_with(end))
            .map_or(0, <[u8]>::len);
        &rest[..rest.len() - cut]
    }

    fn skip_padding(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn expect(&mut self, token: &[u8]) -> Result<(), Stop> {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None if token.starts_with(self.rest) => Err(Stop::End),
            None => Err(FormError::InvalidMultipart.into()),
        }
    }

    fn decode(&self, bytes: Cow<'a, [u8]>) -> Text<'a> {
        match bytes {
            Cow::Borrowed(bytes) => self.charset.decode(bytes),
            Cow::Owned(bytes) => self.charset.decode(&bytes).into_owned(),
        }
    }
}

/// Why there is nothing more to read.
enum Stop {
    /// The last delimiter, or the end of the body anywhere.
    End,
    Error(FormError),
}

impl From<FormError> for Stop {
    fn from(error: FormError) -> Self {
        Self::Error(error)
    }
}

/// Tells whether a file has no name. Of a Windows path, which old browsers send whole, only what
/// follows the last backslash is the name.
fn is_blank(filename: &[u8]) -> bool {
    let is_path = filename.starts_with(br"\\") || filename.get(1..3) == Some(br":\");
    filename.is_empty() || (is_path && filename.ends_with(br"\"))
}

/// `token` of RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const MAX_BOUNDARY_LEN: usize = 256;
const MAX_HEADER_LINES: usize = 8;
const MAX_HEADER_LINE_LEN: usize = 4096 + 128;
