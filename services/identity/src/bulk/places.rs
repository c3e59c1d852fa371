//! Where the server reads data sets and writes results: below two directories, and nowhere else.

use std::{
    fs::{self, File},
    io::{self, BufWriter},
    path::{Component, Path, PathBuf},
};

use identity_domain::match_records::{Matched, RecordCluster, ScoredPair};
use terms::{Fault, Reason};

use super::table::Format;

/// The directories; none is open unless it is configured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    pub(crate) import: Option<PathBuf>,
    pub(crate) export: Option<PathBuf>,
}

fn refused(field: &str, why: impl Into<String>) -> Fault {
    Fault::invalid(field, Reason::InvalidFields, why)
}

/// The relative path that a URI names; it leads downwards only.
fn below(field: &str, uri: &str) -> Result<PathBuf, Fault> {
    let path = uri.strip_prefix("file:").map(Path::new);
    let downwards = |path: &Path| {
        let mut parts = path.components().peekable();
        parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
    };
    match path {
        Some(path) if !uri.contains('\0') && downwards(path) => Ok(path.to_owned()),
        _ => Err(refused(field, "is no `file:` with a path below the server's directory; give one without `..`")),
    }
}

fn root(field: &str, directory: Option<&PathBuf>, setting: &str) -> Result<PathBuf, Fault> {
    let directory = directory
        .ok_or_else(|| refused(field, format!("needs a directory that this server does not have: `{setting}`")))?;
    directory.canonicalize().map_err(|fault| Fault::internal(format!("`{setting}` cannot be opened: {fault}")))
}

impl Places {
    /// The file that a URI names, and how it is written.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] for a path that leaves the import directory, that leads to no file, or whose name tells
    /// no format.
    pub(crate) fn input(&self, uri: &str) -> Result<(PathBuf, Format), Fault> {
        const FIELD: &str = "uri";
        let path = below(FIELD, uri)?;
        let format = Format::of(&path).ok_or_else(|| {
            refused(FIELD, "names no file that can be read; give one that ends in .csv, .jsonl or .ndjson")
        })?;
        let root = root(FIELD, self.import.as_ref(), "identity.import_directory")?;
        // Links are followed before the question is asked.
        let file = root.join(path).canonicalize().ok().filter(|file| file.starts_with(&root) && file.is_file());
        Ok((file.ok_or_else(|| refused(FIELD, "names no file below the import directory"))?, format))
    }

    /// The folder that a URI names; it is made if it is `made`, and need not be there otherwise.
    ///
    /// # Errors
    /// [`Reason::InvalidFields`] for a path that leaves the export directory or is no folder.
    pub(crate) fn output(&self, uri: &str, made: bool) -> Result<PathBuf, Fault> {
        const FIELD: &str = "output_uri";
        let path = below(FIELD, uri)?;
        let root = root(FIELD, self.export.as_ref(), "identity.export_directory")?;
        let mut folder = root.clone();
        // Part by part, so that nothing is made behind a link that leads away.
        for part in path.components() {
            folder.push(part);
            if made && !folder.exists() {
                fs::create_dir(&folder).map_err(Fault::internal)?;
            }
            if folder.exists() && !folder.canonicalize().is_ok_and(|real| real.starts_with(&root) && real.is_dir()) {
                return Err(refused(FIELD, "names no folder below the export directory"));
            }
        }
        Ok(folder)
    }
}

/// Writes `clusters.csv` and `candidates.csv`.
///
/// # Errors
/// What the file system says.
pub fn write(folder: &Path, matched: &Matched) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    whole(folder, "clusters.csv", |out| {
        out.write_record(["cluster_id", "key", "confidence"])?;
        for RecordCluster { keys, confidence } in &matched.clusters {
            let (id, confidence) = (keys.first().map_or("", String::as_str), format!("{confidence:.6}"));
            for key in keys {
                out.write_record([id, key, &confidence])?;
            }
        }
        Ok(())
    })?;
    whole(folder, "candidates.csv", |out| {
        out.write_record(["left_key", "right_key", "weight", "probability"])?;
        for ScoredPair { left, right, score } in &matched.review {
            let (weight, probability) = (format!("{:.3}", score.as_bits()), format!("{:.6}", score.probability()));
            out.write_record([left, right, &weight, &probability])?;
        }
        Ok(())
    })
}

/// Writes a file that is there whole or not at all.
fn whole(
    folder: &Path,
    name: &str,
    fill: impl FnOnce(&mut csv::Writer<BufWriter<File>>) -> Result<(), csv::Error>,
) -> io::Result<()> {
    let part = folder.join(format!(".{name}.part"));
    let mut out = csv::Writer::from_writer(BufWriter::new(File::create(&part)?));
    fill(&mut out).map_err(io::Error::other)?;
    let file = out.into_inner().map_err(|error| io::Error::other(error.to_string()))?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(part, folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_away_are_refused() {
        let home = std::env::temp_dir().join(format!("places-{}", std::process::id()));
        let (inside, outside) = (home.join("in"), home.join("out"));
        fs::create_dir_all(inside.join("sub")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        for file in [inside.join("a.csv"), inside.join("sub/b.jsonl"), outside.join("c.csv")] {
            fs::write(file, "key\n").unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink(&outside, inside.join("away")).unwrap();
        let places = Places { import: Some(inside.clone()), export: Some(inside.clone()) };
        assert_eq!(places.input("file:a.csv").unwrap().1, Format::Csv);
        assert_eq!(places.input("file:sub/b.jsonl").unwrap().1, Format::JsonLines);
        let absolute = format!("file:{}", inside.join("a.csv").display());
        for wrong in
            ["a.csv", "file:", "file:../out/c.csv", "file:sub/../a.csv", "file:away/c.csv", "file:none.csv", &absolute]
        {
            assert!(places.input(wrong).is_err(), "{wrong}");
        }
        assert!(places.input("file:a.parquet").is_err() && Places::default().input("file:a.csv").is_err());
        assert_eq!(places.output("file:new/run", true).unwrap(), inside.canonicalize().unwrap().join("new/run"));
        for wrong in ["file:away", "file:away/x", "file:../x", "file:a.csv", "new"] {
            assert!(places.output(wrong, true).is_err(), "{wrong}");
        }
        assert!(!outside.join("x").exists() && Places::default().output("file:new", false).is_err());
        fs::remove_dir_all(home).unwrap();
    }
}
