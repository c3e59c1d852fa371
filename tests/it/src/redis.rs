//! A Redis server of one's own, to be stopped and killed.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};

use crate::{
    process::{directory, free_ports, send},
    until::until_blocking,
};

/// A Redis server that keeps nothing on disk.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    dir: PathBuf,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// Ends the server when its standard input is closed, whatever becomes of the test.
    guard: Child,
    pid: u32,
}

impl Redis {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When `redis-server` cannot be run.
    pub fn start() -> Result<Self> {
        let [port] = free_ports()?;
        let mut redis = Self { port, dir: directory("redis"), running: None };
        redis.restart()?;
        Ok(redis)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it again on the same port, empty.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn restart(&mut self) -> Result<()> {
        self.running = None;
        let pid_file = self.dir.join("pid");
        let _ = std::fs::remove_file(&pid_file);
        let script = r#"redis-server --port "$0" --bind 127.0.0.1 --save '' --appendonly no --dir "$1" >"$1/log" 2>&1 &
server=$!; echo $server >"$1/pid.new"; mv "$1/pid.new" "$1/pid"; cat; kill -9 $server 2>/dev/null"#;
        let guard = Command::new("sh")
            .args(["-c", script, &self.port.to_string()])
            .arg(&self.dir)
            .stdin(Stdio::piped())
            .spawn()
            .context("sh")?;
        let pid = until_blocking("redis-server", Duration::from_secs(10), || {
            std::fs::read_to_string(&pid_file).ok()?.trim().parse().ok()
        });
        self.running = Some(Running { guard, pid });
        until_blocking("redis-server answers", Duration::from_secs(10), || self.command("PING").ok());
        Ok(())
    }

    /// It answers no more, while its connections stay open.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        send(self.pid()?, "STOP")
    }

    /// It goes on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        send(self.pid()?, "CONT")
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&self) -> Result<()> {
        send(self.pid()?, "KILL")
    }

    /// How many keys it holds.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn keys(&self) -> Result<u64> {
        let answer = self.command("DBSIZE")?;
        answer.trim().trim_start_matches(':').parse().context("a number")
    }

    fn pid(&self) -> Result<u32> {
        Ok(self.running.as_ref().context("it was started")?.pid)
    }

    /// An inline command with a one-line answer.
    fn command(&self, text: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(format!("{text}\r\n").as_bytes())?;
        let mut answer = [0; 64];
        let read = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // A frozen server still dies of SIGKILL.
        let _ = self.guard.wait();
    }
}
