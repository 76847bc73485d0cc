//! `throughline demo`: the service with a simulated shop.

use std::{process::ExitCode, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    app::shutdown,
    config::{EvaluationConfig, PagesConfig, ReceiverConfig},
    demo::{self, DemoEnding, DemoSettings, MessageForm},
};

/// Watch a simulated shop in which a queue stalls, an alert fires and resolves
///
/// Runs the whole service on a temporary database, with definitions of its own. Takes five minutes to watch.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Time until the queue stalls
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    stall_after: Duration,
    /// Seed of the simulated shop
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// End when the alert has resolved, instead of waiting for Ctrl-C
    #[arg(long)]
    exit_after_recovery: bool,
    /// Show the bodies of the webhook's requests instead of their messages
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    receiver: ReceiverConfig,
    #[command(flatten)]
    evaluation: EvaluationConfig,
    #[command(flatten)]
    pages: PagesConfig,
}

pub fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(show(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn show(args: DemoArgs) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    let settings = DemoSettings {
        receiver: args.receiver,
        evaluation: args.evaluation,
        pages: args.pages,
        seed: args.seed,
        stall_after: args.stall_after,
        ending: if args.exit_after_recovery {
            DemoEnding::AfterRecovery
        } else {
            DemoEnding::OnRequest
        },
        messages: if args.json {
            MessageForm::Json
        } else {
            MessageForm::Text
        },
    };
    tokio::select! {
        result = demo::run(settings, shutdown.clone()) => result,
        result = shutdown::abort_on_second_signal(&shutdown) => result,
    }
}
