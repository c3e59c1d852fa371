//! The replicas that follow a feed now, by which the partitions are shared out.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(manager, SQLITE, POSTGRES).await
    }
}

const SQLITE: &str = r#"
CREATE TABLE feed_follower (
    consumer TEXT NOT NULL,
    service TEXT NOT NULL,
    owner TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    PRIMARY KEY (consumer, service, owner)
);
"#;

const POSTGRES: &str = r#"
CREATE TABLE feed_follower (
    consumer TEXT COLLATE "C" NOT NULL,
    service TEXT COLLATE "C" NOT NULL,
    owner TEXT COLLATE "C" NOT NULL,
    lease_until BIGINT NOT NULL,
    PRIMARY KEY (consumer, service, owner)
);
"#;
