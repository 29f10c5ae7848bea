//! A Redis of its own for a test: Debian's `redis-server` on a free port of the loopback, in a folder that goes with it.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crossbook::tune::store::link::Address;

pub struct Server {
    folder: tempfile::TempDir,
    port: u16,
    password: Option<String>,
    child: Option<Child>,
}

impl Server {
    /// `None`, told loudly, where there is no `redis-server`; with `CI=true` that is a failure.
    pub fn start(test: &str) -> Option<Server> {
        Server::with_password(test, None)
    }

    /// The same, and it wants a password.
    pub fn with_password(test: &str, password: Option<&str>) -> Option<Server> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Server {
            folder: tempfile::tempdir().unwrap(),
            port,
            password: password.map(str::to_owned),
            child: None,
        };
        if Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .spawn()
            .is_err()
        {
            let ci = std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"));
            assert!(
                !ci,
                "{test}: CI is set and there is no redis-server: sudo apt-get install -y redis-server"
            );
            eprintln!("SKIPPED {test}: no redis-server; to run it: sudo apt-get install -y redis-server");
            return None;
        }
        server.again();
        Some(server)
    }

    pub fn url(&self) -> String {
        let password = self
            .password
            .as_ref()
            .map(|word| format!(":{word}@"))
            .unwrap_or_default();
        format!("redis://{password}127.0.0.1:{}/0", self.port)
    }

    pub fn address(&self) -> Address {
        Address::parse(&self.url(), "test").unwrap()
    }

    /// Starts it, with what its folder holds: every write is on disk at once.
    pub fn again(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(self.folder.path())
            .args(self.password.iter().flat_map(|word| ["--requirepass", word]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let patience = Instant::now() + Duration::from_secs(10);
        while self.ask(&["PING"]).as_deref() != Ok("PONG") {
            assert!(Instant::now() < patience, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// `kill -9`, and everything that it had written is gone.
    pub fn kill_and_wipe(&mut self) {
        self.kill();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    /// STOP or CONT: it lives, and does not answer.
    pub fn signal(&self, name: &str) {
        signal(self.child.as_ref().unwrap().id(), name);
    }

    /// One command.
    pub fn ask(&self, words: &[&str]) -> Result<String, String> {
        let value = self.raw(words)?;
        Ok(redis::from_redis_value::<Option<String>>(value)
            .map_err(|error| error.to_string())?
            .unwrap_or_default())
    }

    pub fn list(&self, words: &[&str]) -> Vec<String> {
        redis::from_redis_value(self.raw(words).unwrap()).unwrap()
    }

    fn raw(&self, words: &[&str]) -> Result<redis::Value, String> {
        let client = redis::Client::open(self.url()).unwrap();
        let text = |error: redis::RedisError| error.to_string();
        let mut connection = client
            .get_connection_with_timeout(Duration::from_secs(2))
            .map_err(text)?;
        connection
            .set_read_timeout(Some(Duration::from_secs(2)))
            .map_err(text)?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query(&mut connection).map_err(text)
    }

    /// Keys of a session, its own and the shared one, in order.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = self.list(&["KEYS", "*"]);
        keys.sort();
        keys
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}
