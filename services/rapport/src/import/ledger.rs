//! Which lines are done, and the failure file.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::send::{Line, Rejection};

/// Keeps, beside the input, up to which line everything is done.
pub struct Ledger {
    path: PathBuf,
    failures: PathBuf,
    state: State,
    /// Done lines behind the first that is not.
    ahead: BTreeSet<u64>,
    rejects: Option<BufWriter<File>>,
    unsaved: u32,
}

#[derive(Serialize, Deserialize, Default)]
struct State {
    /// Every line up to this one is done.
    done: u64,
    /// How many of them were rejected.
    rejected: u64,
}

/// How many answers between two saves.
const SAVE_EVERY: u32 = 2_000;

impl Ledger {
    /// Opens the ledger of `input`, at its beginning when `restart`.
    ///
    /// # Errors
    /// When a file beside the input cannot be read or written.
    pub fn open(input: &Path, failures: Option<&Path>, restart: bool) -> Result<Self> {
        let path = beside(input, "progress.json");
        let failures = failures.map_or_else(|| beside(input, "failures.jsonl"), Path::to_path_buf);
        if restart {
            for old in [&path, &failures] {
                if old.exists() {
                    fs::remove_file(old).with_context(|| format!("cannot remove {}", old.display()))?;
                }
            }
        }
        let state = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} is damaged; remove it or pass --restart", path.display()))?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => State::default(),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Self { path, failures, state, ahead: BTreeSet::new(), rejects: None, unsaved: 0 })
    }

    /// Up to which line everything is done.
    pub fn done(&self) -> u64 {
        self.state.done
    }

    /// Notes that the server has the line.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn accepted(&mut self, number: u64) -> Result<()> {
        self.ahead.insert(number);
        while self.ahead.remove(&(self.state.done + 1)) {
            self.state.done += 1;
        }
        self.unsaved += 1;
        if self.unsaved >= SAVE_EVERY { self.save() } else { Ok(()) }
    }

    /// Writes the line to the failure file, with the reason: made right, that file can be imported itself.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn rejected(&mut self, line: &Line, rejection: &Rejection) -> Result<()> {
        let file = match &mut self.rejects {
            Some(file) => file,
            None => {
                let file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.failures)
                    .with_context(|| format!("cannot write {}", self.failures.display()))?;
                self.rejects.insert(BufWriter::new(file))
            }
        };
        let mut entry = match &line.row {
            Ok(row) => row.clone(),
            Err(_) => serde_json::Map::new(),
        };
        entry.insert(
            "rapport_failure".to_owned(),
            json!({ "line": line.number, "reason": rejection.reason, "message": rejection.message }),
        );
        serde_json::to_writer(&mut *file, &entry)?;
        file.write_all(b"\n")?;
        self.state.rejected += 1;
        self.accepted(line.number)
    }

    /// Puts the ledger on disk: the failure file first, so that no line is done without its reason.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&mut self) -> Result<()> {
        self.unsaved = 0;
        if let Some(file) = &mut self.rejects {
            file.flush()?;
            file.get_ref().sync_data()?;
        }
        let fresh = self.path.with_extension("json.new");
        fs::write(&fresh, serde_json::to_vec(&self.state)?)?;
        fs::rename(&fresh, &self.path).with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Ends the import. The ledger stays: the same command finds nothing to do.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.save()?;
        if self.state.rejected > 0 {
            eprintln!("  {} lines were rejected: {}", self.state.rejected, self.failures.display());
        }
        Ok(())
    }
}

fn beside(input: &Path, ending: &str) -> PathBuf {
    let mut name = input.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    input.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_done_when_all_before_it_are() {
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("a.csv");
        let mut ledger = Ledger::open(&input, None, false).unwrap();
        for number in [2, 3, 5] {
            ledger.accepted(number).unwrap();
        }
        assert_eq!(ledger.done(), 0);
        let line = Line { number: 1, row: Ok(serde_json::from_str(r#"{"a": 1}"#).unwrap()) };
        ledger.rejected(&line, &Rejection { reason: "R".to_owned(), message: "m".to_owned() }).unwrap();
        assert_eq!(ledger.done(), 3);
        ledger.finish().unwrap();

        assert_eq!(Ledger::open(&input, None, false).unwrap().done(), 3);
        let failures = fs::read_to_string(dir.path().join("a.csv.failures.jsonl")).unwrap();
        assert_eq!(failures, "{\"a\":1,\"rapport_failure\":{\"line\":1,\"message\":\"m\",\"reason\":\"R\"}}\n");
        assert_eq!(Ledger::open(&input, None, true).unwrap().done(), 0);
    }
}
