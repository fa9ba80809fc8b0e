//! What is done within pods: running a command, reading logs, reaching a port.

use std::{net::SocketAddr, time::Duration};

use futures::{AsyncBufReadExt, StreamExt, future::ready, stream::BoxStream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, AttachParams};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::TcpListener,
    task::JoinSet,
    time::timeout,
};

use crate::{Fault, Kubernetes, requests::chain};

/// The most of what a command prints that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// What a command in a container did.
#[derive(Clone, Debug)]
pub struct Exec {
    /// Whether it ended with 0.
    pub is_success: bool,
    /// What it printed.
    pub out: String,
    /// What it said on standard error.
    pub err: String,
}

/// A port on loopback that leads to a pod's for as long as this lives.
#[derive(Debug)]
pub struct Forward {
    /// Where it listens.
    pub address: SocketAddr,
    // Ended with this.
    _tasks: JoinSet<()>,
}

impl Kubernetes {
    /// Runs a command in a container of a pod.
    ///
    /// # Errors
    ///
    /// If the server refuses, or it takes longer than `patience`.
    pub async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        command: &[&str],
        input: &str,
        patience: Duration,
    ) -> Result<Exec, Fault> {
        let doing = format!("run a command in the pod `{pod}`");
        let refused = |message: String| Fault::Refused {
            doing: doing.clone(),
            status: 0,
            message,
        };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let whole = async {
            let params = AttachParams::default().stdin(true).stdout(true).stderr(true);
            let mut process = pods
                .exec(pod, command.iter().copied(), &params)
                .await
                .map_err(|fault| refused(chain(&fault)))?;
            let ended = process.take_status();
            if let Some(mut stdin) = process.stdin() {
                let _ = stdin.write_all(input.as_bytes()).await;
                let _ = stdin.shutdown().await;
            }
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let (stdout, stderr) = (process.stdout(), process.stderr());
            let read_out = async {
                if let Some(stdout) = stdout {
                    let _ = stdout.take(LARGEST).read_to_end(&mut out).await;
                }
            };
            let read_err = async {
                if let Some(stderr) = stderr {
                    let _ = stderr.take(LARGEST).read_to_end(&mut err).await;
                }
            };
            tokio::join!(read_out, read_err);
            let status = match ended {
                Some(ended) => ended.await,
                None => None,
            };
            Ok(Exec {
                is_success: status.is_none_or(|status| status.status.as_deref() == Some("Success")),
                out: String::from_utf8_lossy(&out).into_owned(),
                err: String::from_utf8_lossy(&err).into_owned(),
            })
        };
        let late = || refused(format!("no answer within {} s", patience.as_secs()));
        timeout(patience, whole).await.map_err(|_| late())?
    }

    /// What a pod wrote: its last lines, and those of the container before it where `previous`.
    ///
    /// # Errors
    ///
    /// If the server refuses.
    pub async fn logs(&self, namespace: &str, pod: &str, lines: usize, previous: bool) -> Result<String, Fault> {
        let path = format!(
            "/api/v1/namespaces/{namespace}/pods/{pod}/log?tailLines={lines}{}",
            if previous { "&previous=true" } else { "" }
        );
        let request = http::Request::get(path).body(Vec::new());
        let refused = |message: String| Fault::Refused {
            doing: format!("read the log of the pod `{pod}`"),
            status: 0,
            message,
        };
        let request = request.map_err(|fault| refused(fault.to_string()))?;
        self.client
            .request_text(request)
            .await
            .map_err(|fault| refused(chain(&fault)))
    }

    /// The lines that a pod writes: its last ones, and those to come, until it ends.
    ///
    /// # Errors
    ///
    /// If the server refuses.
    pub async fn follow(&self, namespace: &str, pod: &str, lines: usize) -> Result<BoxStream<'static, String>, Fault> {
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log?tailLines={lines}&follow=true");
        let refused = |message: String| Fault::Refused {
            doing: format!("follow the log of the pod `{pod}`"),
            status: 0,
            message,
        };
        let request = http::Request::get(path).body(Vec::new());
        let request = request.map_err(|fault| refused(fault.to_string()))?;
        let stream = self.client.request_stream(request).await;
        let lines = stream.map_err(|fault| refused(chain(&fault)))?.lines();
        // A connection that breaks off is the end of what can be told.
        Ok(lines
            .take_while(|line| ready(line.is_ok()))
            .filter_map(|line| ready(line.ok()))
            .boxed())
    }

    /// Opens a port on loopback that leads to a port of a pod.
    ///
    /// # Errors
    ///
    /// If no port can be opened.
    pub async fn forward(&self, namespace: &str, pod: &str, port: u16) -> Result<Forward, Fault> {
        let failed = |fault: std::io::Error| Fault::Config(format!("no port on loopback: {fault}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let pod = pod.to_owned();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let (pods, pod) = (pods.clone(), pod.clone());
                connections.spawn(async move {
                    // Whoever connected sees the connection close, as with any server that is gone.
                    let Ok(mut forwarder) = pods.portforward(&pod, &[port]).await else {
                        return;
                    };
                    let Some(mut stream) = forwarder.take_stream(port) else {
                        return;
                    };
                    let _ = copy_bidirectional(&mut socket, &mut stream).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Forward { address, _tasks: tasks })
    }
}
