//! Lines of CSV or JSON, plain or gzipped.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use serde_json::Value;

use super::template::Row;

/// Rows, each as read or why it cannot be.
pub type Rows = Box<dyn Iterator<Item = Result<Row, String>> + Send>;

#[derive(Clone, Copy)]
enum Format {
    Csv,
    JsonLines,
}

fn format(path: &Path) -> Result<Format> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("csv") => Ok(Format::Csv),
        Some("jsonl" | "ndjson" | "json") => Ok(Format::JsonLines),
        _ => bail!("{}: the name must end in .csv, .jsonl or .ndjson, with .gz or without", path.display()),
    }
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let packed = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    Ok(if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) })
}

/// The rows of the file at `path`.
///
/// # Errors
/// When the file cannot be opened, or its name tells no format.
pub fn rows(path: &Path) -> Result<Rows> {
    read(open(path)?, format(path)?)
}

/// The rows of gzipped CSV in memory.
///
/// # Errors
/// When it has no header.
pub fn packed_csv(bytes: &'static [u8]) -> Result<Rows> {
    read(Box::new(GzDecoder::new(bytes)), Format::Csv)
}

/// How many rows the file has.
///
/// # Errors
/// When it cannot be read.
pub fn count(path: &Path) -> Result<u64> {
    Ok(rows(path)?.count() as u64)
}

fn read(input: Box<dyn Read + Send>, format: Format) -> Result<Rows> {
    match format {
        Format::JsonLines => {
            let lines =
                BufReader::new(input).lines().filter(|line| line.as_ref().map_or(true, |l| !l.trim().is_empty()));
            Ok(Box::new(lines.map(|line| {
                let line = line.map_err(|e| format!("cannot be read: {e}"))?;
                serde_json::from_str(&line).map_err(|e| format!("is no JSON object: {e}"))
            })))
        }
        Format::Csv => {
            let mut reader = csv::Reader::from_reader(input);
            let header: Vec<String> = reader
                .headers()
                .context("the first line must name the columns")?
                .iter()
                .map(|h| h.trim().to_owned())
                .collect();
            Ok(Box::new(reader.into_records().map(move |record| {
                let record = record.map_err(|e| format!("is no line of this CSV: {e}"))?;
                Ok(header.iter().cloned().zip(record.iter().map(Value::from)).collect())
            })))
        }
    }
}
