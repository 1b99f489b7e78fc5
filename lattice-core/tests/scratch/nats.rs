use std::process::{Child, Command, Stdio};
pub struct Server { child: Child, port: u16, dir: tempfile::TempDir }
impl Drop for Server { fn drop(&mut self) { let _ = self.child.kill(); let _ = self.child.wait(); } }
impl Server {
    pub async fn start(config: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let child = spawn(port, &dir, config);
        let s = Self { child, port, dir };
        s.ready().await;
        s
    }
    pub fn url(&self) -> String { format!("127.0.0.1:{}", self.port) }
    pub async fn ready(&self) {
        for _ in 0..200 { if async_nats::connect(self.url()).await.is_ok() { return; } tokio::time::sleep(std::time::Duration::from_millis(50)).await; }
        panic!("no server")
    }
}
fn spawn(port: u16, dir: &tempfile::TempDir, config: &str) -> Child {
    let path = dir.path().join("c.conf");
    std::fs::write(&path, format!("listen: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\" }}\n{config}", dir.path().join("js").display())).unwrap();
    Command::new(std::env::var("NATS_SERVER").unwrap()).arg("-c").arg(&path).stderr(Stdio::null()).spawn().unwrap()
}
