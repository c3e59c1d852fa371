//! The process under test, pinned to a core, and its CPU time.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tonic::transport::{Channel, Endpoint};

/// A server in a process of its own; killed when dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    /// Its data folder.
    _dir: tempfile::TempDir,
}

impl Server {
    /// The suite, in one process on SQLite. `pinned`: on the first core alone, on a runtime of one thread. `redis`: keep
    /// profiles there, and none in process.
    pub async fn suite(binary: Option<&Path>, pinned: bool, redis: Option<&str>) -> Result<Self> {
        let binary = match binary {
            Some(binary) => binary.to_path_buf(),
            None => beside("rapport")?,
        };
        let dir = tempfile::tempdir()?;
        let mut command = command(&binary, pinned);
        command.arg("dev").arg("--data").arg(dir.path()).args(["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]);
        command.env("RAPPORT_TELEMETRY__LOG_FILTER", "warn");
        if pinned {
            command.env("RAPPORT_SERVER__RUNTIME", "current");
        }
        if let Some(url) = redis {
            command.env("RAPPORT_CACHE__URL", url).env("RAPPORT_CUSTOMIZATION__CACHE_BYTES", "0");
        }
        Self::start(command, dir).await
    }

    /// Identity alone, on PostgreSQL if a database is named and else on SQLite, durable, on all cores.
    pub async fn identity(binary: Option<&Path>, postgres: Option<&str>) -> Result<Self> {
        let binary = match binary {
            Some(binary) => binary.to_path_buf(),
            None => beside("rapport")?,
        };
        let dir = tempfile::tempdir()?;
        let mut command = command(&binary, false);
        command.args(["serve", "identity", "--migrate", "--listen", "127.0.0.1:0"]);
        let key = dir.path().join("lookup.key");
        fs::write(&key, [7; 32])?;
        let mut settings = vec![
            ("auth.mode", "open".to_owned()),
            ("telemetry.address", "127.0.0.1:0".to_owned()),
            ("telemetry.log_filter", "warn".to_owned()),
            ("store.lookup_key_file", key.display().to_string()),
        ];
        match postgres {
            Some(url) => settings.extend([("store.kind", "postgres".to_owned()), ("store.url", url.to_owned())]),
            None => settings.extend([
                ("store.kind", "sqlite".to_owned()),
                ("store.dir", dir.path().join("data").display().to_string()),
            ]),
        }
        for (name, value) in settings {
            command.arg("--set").arg(format!("{name}={value}"));
        }
        Self::start(command, dir).await
    }

    /// The floor: an echo server, on the first core.
    pub async fn echo(redis: Option<&str>) -> Result<Self> {
        let mut command = command(&std::env::current_exe()?, true);
        // A Redis server that the environment names would make every floor one with `HMGET`.
        command.arg("echo-server").env_remove("RAPPORT_TEST_REDIS");
        if let Some(url) = redis {
            command.args(["--redis", url]);
        }
        Self::start(command, tempfile::tempdir()?).await
    }

    async fn start(mut command: Command, dir: tempfile::TempDir) -> Result<Self> {
        let ready = dir.path().join("ready.json");
        let child = command
            .arg("--ready-file")
            .arg(&ready)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), _dir: dir };
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..3_000 {
            tick.tick().await;
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended before it was ready: {status}");
            }
            if let Ok(text) = fs::read(&ready)
                && let Ok(json) = serde_json::from_slice::<serde_json::Value>(&text)
            {
                server.address = json["grpc"].as_str().context("no address in the ready file")?.parse()?;
                return Ok(server);
            }
        }
        bail!("the server was not ready within 30 seconds")
    }

    /// A connection of its own.
    pub async fn connect(&self) -> Result<Channel> {
        Ok(Endpoint::from_shared(format!("http://{}", self.address))?.tcp_nodelay(true).connect().await?)
    }

    /// The CPU time that the process has used.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may hold anything but ends with the last parenthesis: user is field 14, system 15.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// The memory that the process holds, in MiB.
    pub fn resident(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no VmRSS")?.parse()?;
        Ok(kib / 1_024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(program: &Path, pinned: bool) -> Command {
    if pinned && taskset() {
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn taskset() -> bool {
    Command::new("taskset").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Keeps this process off the first core, where the servers run.
pub fn pin_generator() {
    let last = std::thread::available_parallelism().map_or(1, usize::from) - 1;
    if last > 0 {
        let _ = Command::new("taskset")
            .args(["-a", "-cp", &format!("1-{last}"), &std::process::id().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

fn beside(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is not there; build it first: cargo build --release", path.display());
    }
    Ok(path)
}
