//! A `rapport` process: started, watched, signalled, ended with the test.

use std::{
    fs::{self, File},
    io::Write,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{LazyLock, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::until::until_blocking;

/// How long a process may take to serve. A machine that builds at the same time is slow.
const START: Duration = Duration::from_secs(60);

/// The binary: `RAPPORT_BIN`, or the one beside the tests.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("RAPPORT_BIN") {
        return path.into();
    }
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.join("rapport")));
    beside.unwrap_or_else(|| PathBuf::from("target/debug/rapport"))
}

/// Ports that were free a moment ago, all different.
///
/// # Errors
/// When there are none.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let listeners: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>().context("a free port")?;
    let ports = listeners.iter().map(|l| Ok(l.local_addr()?.port())).collect::<Result<Vec<_>>>()?;
    ports.try_into().map_err(|_| anyhow::anyhow!("as many ports as asked for"))
}

/// A running process that serves.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// The process ends when this is closed, whatever becomes of the test.
    _alive: Option<ChildStdin>,
    log: PathBuf,
    /// Where it serves gRPC.
    pub grpc: SocketAddr,
    /// Where it serves `/metrics`.
    pub metrics: Option<SocketAddr>,
}

impl Process {
    /// Begins a process; `name` names its files in `dir`.
    ///
    /// # Errors
    /// When the binary cannot be run.
    pub fn begin(dir: &Path, name: &str, arguments: &[&str]) -> Result<Starting> {
        let ready = dir.join(format!("{name}.ready"));
        let _ = fs::remove_file(&ready);
        let log = dir.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).context("the log file")?;
        let path = binary();
        let mut child = Command::new(&path)
            .args(arguments)
            .arg("--exit-with-parent")
            .arg("--ready-file")
            .arg(&ready)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{}: build it with `cargo build -p rapport`", path.display()))?;
        let alive = child.stdin.take();
        Ok(Starting { child, alive, ready, log })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `STOP`.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: &str) -> Result<()> {
        send(self.pid(), signal)
    }

    /// `kill -9`, and waits until it is dead.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// `SIGTERM`, and waits for the end.
    ///
    /// # Errors
    /// When it does not end by itself, or with another status than 0.
    pub fn terminate(mut self, within: Duration) -> Result<()> {
        self.signal("TERM")?;
        let status = until_blocking("the end after SIGTERM", within, || self.child.try_wait().transpose())?;
        ensure!(status.success(), "ended with {status}: {}", tail(&self.log));
        Ok(())
    }

    /// What it has logged so far.
    pub fn logged(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that was begun.
#[derive(Debug)]
pub struct Starting {
    child: Child,
    alive: Option<ChildStdin>,
    ready: PathBuf,
    log: PathBuf,
}

impl Starting {
    /// Waits until it serves.
    ///
    /// # Errors
    /// When it ends instead.
    pub fn serving(mut self) -> Result<Process> {
        let page = until_blocking("a process that serves", START, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(Err(status));
            }
            let text = fs::read(&self.ready).ok()?;
            serde_json::from_slice::<serde_json::Value>(&text).ok().map(Ok)
        });
        let page = match page {
            Ok(page) => page,
            Err(status) => bail!("rapport ended with {status}: {}", tail(&self.log)),
        };
        let address = |key: &str| page.get(key).and_then(|v| v.as_str()).and_then(|text| text.parse().ok());
        let grpc = address("grpc").context("the ready file names `grpc`")?;
        Ok(Process { child: self.child, _alive: self.alive, log: self.log, grpc, metrics: address("metrics") })
    }
}

/// Runs a command of the binary to its end.
///
/// # Errors
/// When it fails; with what it wrote.
pub fn run(arguments: &[&str]) -> Result<String> {
    let output = Command::new(binary()).args(arguments).stdin(Stdio::null()).output().context("the binary")?;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "rapport {arguments:?} ended with {}: {text}", output.status);
    Ok(text)
}

/// Sends a signal, such as `STOP`, to a process that this test has started.
///
/// # Errors
/// When there is none such.
pub fn send(pid: u32, signal: &str) -> Result<()> {
    let status = Command::new("sh").args(["-c", "kill -\"$0\" \"$1\"", signal, &pid.to_string()]).status()?;
    ensure!(status.success(), "kill -{signal} {pid} ended with {status}");
    Ok(())
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// A directory that is removed soon after this test process has ended, also when it was killed.
///
/// # Panics
/// When there is no room for one.
pub fn directory(name: &str) -> PathBuf {
    static SWEEPER: LazyLock<Mutex<Child>> = LazyLock::new(|| {
        let script = r#"all=; while read -r dir; do all="$all $dir"; done; sleep 1; rm -rf $all"#;
        Mutex::new(Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().expect("sh"))
    });
    let dir = tempfile::Builder::new().prefix(&format!("rapport-{name}-")).tempdir().expect("a directory").keep();
    if std::env::var_os("RAPPORT_TEST_KEEP").is_none() {
        let mut sweeper = SWEEPER.lock().expect("no panic");
        writeln!(sweeper.stdin.as_mut().expect("a pipe"), "{}", dir.display()).expect("the sweeper");
    } else {
        eprintln!("kept: {}", dir.display());
    }
    dir
}
