//! The least that a server can do: echo, echo and one `HMGET`; and raw batched inserts.

use std::{net::SocketAddr, path::Path, time::Instant};

use anyhow::Result;
use rapport_proto::profile::v1::{
    GetDialogueRequest, GetDialogueResponse, GetSectionRequest, GetSectionResponse, ResolveRefsRequest,
    ResolveRefsResponse,
    profile_service_server::{ProfileService, ProfileServiceServer},
};
use redis::aio::ConnectionManager;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, TransactionTrait, Value};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Rows of a transaction.
pub const BATCH: usize = 1_000;

struct Echo {
    redis: Option<ConnectionManager>,
}

#[tonic::async_trait]
impl ProfileService for Echo {
    /// With Redis: one `HMGET` of three fields. Without: echo.
    async fn get_section(&self, request: Request<GetSectionRequest>) -> Result<Response<GetSectionResponse>, Status> {
        let request = request.into_inner();
        let mut reply = GetSectionResponse { customer_id: request.customer_id, ..GetSectionResponse::default() };
        if let Some(redis) = &self.redis {
            let values: Vec<Option<Vec<u8>>> = redis::cmd("HMGET")
                .arg(&reply.customer_id)
                .arg(&["identity", "interaction", "segmentation"])
                .query_async(&mut redis.clone())
                .await
                .map_err(|e| Status::unavailable(e.to_string()))?;
            reply.section = values.into_iter().flatten().next().unwrap_or_default().into();
        }
        Ok(Response::new(reply))
    }

    async fn resolve_refs(&self, _: Request<ResolveRefsRequest>) -> Result<Response<ResolveRefsResponse>, Status> {
        Ok(Response::new(ResolveRefsResponse::default()))
    }

    async fn get_dialogue(&self, _: Request<GetDialogueRequest>) -> Result<Response<GetDialogueResponse>, Status> {
        Ok(Response::new(GetDialogueResponse::default()))
    }
}

/// Serves the floor until it is killed.
///
/// # Errors
/// When it cannot listen, or Redis does not answer.
pub async fn serve(redis: Option<&str>, ready_file: &Path) -> Result<()> {
    let redis = match redis {
        Some(url) => Some(ConnectionManager::new(redis::Client::open(url)?).await?),
        None => None,
    };
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let ready = serde_json::json!({ "grpc": listener.local_addr()?.to_string() });
    std::fs::write(ready_file, ready.to_string())?;
    let incoming = tokio_stream::StreamExt::map(TcpListenerStream::new(listener), |stream| {
        stream.inspect(|s| drop(s.set_nodelay(true)))
    });
    let server = ProfileServiceServer::new(Echo { redis });
    Ok(tonic::transport::Server::builder().add_service(server).serve_with_incoming(incoming).await?)
}

/// Rows a second of raw inserts into SQLite, one transaction a thousand rows, each durable.
///
/// # Errors
/// When SQLite fails.
pub async fn sqlite_inserts(dir: &Path, rows: usize) -> Result<f64> {
    let file = dir.join("floor.db");
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", file.display()));
    options.max_connections(1).sqlx_logging(false);
    let db = Database::connect(options).await?;
    for pragma in ["PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"] {
        db.execute_unprepared(pragma).await?;
    }
    inserts(&db, rows, "BLOB").await
}

/// The same into PostgreSQL.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn postgres_inserts(url: &str, rows: usize) -> Result<f64> {
    let mut options = ConnectOptions::new(url.to_owned());
    options.max_connections(1).sqlx_logging(false);
    let db = Database::connect(options).await?;
    db.execute_unprepared("DROP TABLE IF EXISTS load_floor").await?;
    let rate = inserts(&db, rows, "BYTEA").await;
    db.execute_unprepared("DROP TABLE IF EXISTS load_floor").await?;
    rate
}

/// The columns that an interaction has, and an index for its timeline.
async fn inserts(db: &DatabaseConnection, rows: usize, blob: &str) -> Result<f64> {
    db.execute_unprepared(&format!(
        "CREATE TABLE load_floor (tenant TEXT NOT NULL, id {blob} NOT NULL, customer {blob} NOT NULL, \
         kind TEXT NOT NULL, channel TEXT NOT NULL, occurred_at BIGINT NOT NULL, recorded_at BIGINT NOT NULL, \
         value BIGINT, properties {blob} NOT NULL, PRIMARY KEY (tenant, id))"
    ))
    .await?;
    db.execute_unprepared("CREATE INDEX load_floor_timeline ON load_floor (tenant, customer, occurred_at)").await?;
    let backend = db.get_database_backend();
    let started = Instant::now();
    let mut written = 0;
    while written < rows {
        let batch = BATCH.min(rows - written);
        let mut sql = "INSERT INTO load_floor VALUES ".to_owned();
        let mut values: Vec<Value> = Vec::with_capacity(batch * 9);
        for i in 0..batch {
            let first = values.len();
            sql.push_str(if i == 0 { "(" } else { ",(" });
            for n in 1..=9 {
                sql.push_str(&format!("{}${}", if n == 1 { "" } else { "," }, first + n));
            }
            sql.push(')');
            let number = (written + i) as u128;
            values.extend([
                Value::from("default"),
                Value::from(number.to_be_bytes().to_vec()),
                Value::from((number % 2_000).to_be_bytes().to_vec()),
                Value::from("purchase"),
                Value::from("store"),
                Value::from(number as i64),
                Value::from(number as i64),
                Value::from(12_990_000i64),
                Value::from(vec![7u8; 40]),
            ]);
        }
        let tx = db.begin().await?;
        tx.execute_raw(sea_orm::Statement::from_sql_and_values(backend, sql, values)).await?;
        tx.commit().await?;
        written += batch;
    }
    Ok(rows as f64 / started.elapsed().as_secs_f64())
}
