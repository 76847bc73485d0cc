//! The catalogue of failures that alerting must survive: each entry names the tests that let it happen
//! and look at what comes of it, or says why it cannot happen here.
//!
//! An entry refers to its tests as items and not by text, so a test that is renamed, moved or removed
//! does not compile until its entry follows; and only what the test runner itself lists is a proof, not
//! any function.

use std::process::Command;

use crate::{delivery, evaluation, limits, never_lost, silences, system};

/// What can go wrong, and what shows that it does no harm.
struct Failure {
    what: &'static str,
    answer: Answer,
}

enum Answer {
    /// By the names that the test runner gives them.
    Tests(&'static [(&'static str, fn())]),
    CannotHappen(&'static str),
}

macro_rules! tests {
    ($($path:path),+ $(,)?) => {
        Answer::Tests(&[$((stringify!($path), $path)),+])
    };
}

/// T1, T2 and so on.
const FAILURES: [Failure; 36] = [
    Failure {
        what: "no data is taken for no errors, and a firing alert resolves",
        answer: tests![
            evaluation::states::t01_an_idle_service_at_night_tells_nobody,
            evaluation::states::t01_events_that_stop_are_told_once_with_what_was_known_last,
            evaluation::t01_counts_that_may_be_incomplete_resolve_nothing,
        ],
    },
    Failure {
        what: "data stops altogether, and nobody notices for weeks",
        answer: tests![
            limits::t02_an_outage_of_ingest_is_no_absence_of_events,
            limits::t02_an_slo_that_falls_silent_pages_after_its_time_and_resolves_with_the_next_events,
            limits::t02_an_slo_that_is_silent_at_this_hour_every_week_is_not_absent,
        ],
    },
    Failure {
        what: "evaluation was paused, and what nobody looked at counts as bad or as quiet",
        answer: tests![
            evaluation::states::t03_a_rule_with_a_wait_fires_after_so_much_evaluated_time,
            evaluation::states::t03_after_a_pause_the_second_good_tick_is_the_first_to_change_anything,
            evaluation::t03_a_restart_keeps_an_alert_firing_and_tells_nobody_again,
            evaluation::t03_time_that_nobody_evaluated_does_not_count_as_quiet,
        ],
    },
    Failure {
        what: "clocks of replicas differ or jump, and alerts repeat or vanish",
        answer: tests![
            evaluation::states::t04_a_tick_before_the_last_one_changes_nothing_and_is_counted,
            never_lost::clocks::t04_replicas_by_clocks_that_are_wrong_and_jump_tell_once_and_at_the_right_time,
        ],
    },
    Failure {
        what: "a rate around the threshold fires and resolves in turns",
        answer: tests![
            evaluation::states::t05_a_flap_within_the_wait_is_counted_and_told_at_the_end,
            evaluation::states::t05_what_fires_again_within_half_an_hour_says_which_time_today_it_is,
        ],
    },
    Failure {
        what: "one of three requests failed at night, and somebody is paged",
        answer: tests![
            evaluation::states::t06_too_few_events_to_tell_are_shown_as_that_and_page_nobody,
        ],
    },
    Failure {
        what: "an SLO is edited, renamed or deleted while it fires, and its alert stays open or is repeated",
        answer: tests![
            evaluation::states::t07_a_renamed_slo_ends_under_its_old_name_and_begins_anew_under_the_other,
            evaluation::states::t07_an_edit_keeps_an_alert_firing_and_a_removed_target_hears_of_the_end,
            evaluation::t07_a_removed_slo_resolves_and_says_so_to_those_who_were_told,
            evaluation::t07_an_alert_whose_rules_are_edited_away_resolves,
        ],
    },
    Failure {
        what: "definitions are read again, and alerts are lost or repeated",
        answer: tests![
            evaluation::states::t08_a_rollout_of_new_definitions_neither_loses_nor_repeats_an_alert,
        ],
    },
    Failure {
        what: "several replicas send the same page",
        answer: tests![
            delivery::leases::t09_two_replicas_tell_a_target_once,
        ],
    },
    Failure {
        what: "two evaluators write different verdicts",
        answer: tests![
            evaluation::t10_two_evaluators_at_once_tell_what_one_would,
        ],
    },
    Failure {
        what: "the database is away while alerts fire",
        answer: tests![
            delivery::watching::t11_every_replica_tells_of_an_outage_under_one_id_without_a_secret_to_read,
            never_lost::postgres::t11_whatever_becomes_of_postgres_all_are_told_in_order_and_once_where_it_is_known,
            system::blind::t11_an_alert_outlives_a_database_that_is_away_and_the_emergency_target_is_told,
        ],
    },
    Failure {
        what: "a restored backup sends old pages again",
        answer: tests![
            delivery::fallback::t12_a_page_of_another_day_goes_to_no_fallback_either,
            delivery::late::t12_a_page_of_another_day_calls_nobody_and_is_on_record,
            delivery::late::t12_a_page_that_was_tried_is_tried_on_for_a_day,
            delivery::late::t12_an_end_is_told_however_old_if_its_beginning_was,
        ],
    },
    Failure {
        what: "one 429 drops an alert",
        answer: tests![
            delivery::answers::t13_a_target_that_asks_to_be_left_alone_is_for_all_its_alerts,
        ],
    },
    Failure {
        what: "an alert is over before its beginning got through, and both vanish",
        answer: tests![
            delivery::late::t14_a_page_that_may_have_been_taken_is_resolved_however_quiet_the_policy,
            delivery::late::t14_a_program_is_told_both_in_their_order_and_so_is_who_wants_to_be,
            delivery::late::t14_nobody_is_paged_for_what_is_over_and_it_stands_on_record,
            delivery::late::t14_slack_hears_once_of_what_was_over_before_it_could_be_told,
            delivery::late::t14_what_is_only_a_moment_old_is_told_step_by_step,
        ],
    },
    Failure {
        what: "a restart forgets to say that an alert is over",
        answer: tests![
            never_lost::restarts::t15_an_alert_that_ends_while_nobody_is_there_is_told_to_be_over,
        ],
    },
    Failure {
        what: "an end overtakes its beginning, and the incident stays open for ever",
        answer: tests![
            delivery::order::t16_a_resolve_waits_for_its_firing_that_failed,
            never_lost::outbox::found::t16_an_end_waits_for_a_beginning_that_is_due_later,
        ],
    },
    Failure {
        what: "a slow receiver holds up all others",
        answer: tests![
            delivery::order::t17_a_slow_target_does_not_delay_another,
            never_lost::totals::t17_of_many_alerts_none_is_lost_or_late_for_a_good_target_whatever_the_others_do,
        ],
    },
    Failure {
        what: "a receiver that took longer than it may had taken it, and gets it again",
        answer: tests![
            delivery::leases::t18_a_crash_between_sending_and_settling_repeats_under_the_same_id,
            delivery::leases::t18_slack_is_told_that_a_message_may_be_a_repeat,
            never_lost::freezes::t18_a_replica_that_was_frozen_for_longer_than_its_lease_changes_nothing_when_it_is_back,
        ],
    },
    Failure {
        what: "retries come as a wave",
        answer: tests![
            delivery::fallback::t19_the_circuit_breaker_is_shared_and_lets_one_through,
        ],
    },
    Failure {
        what: "a message that is refused is repeated for ever, or dropped at the first refusal",
        answer: tests![
            delivery::alertmanager::t20_alerts_that_are_refused_are_dead_and_visible,
            delivery::answers::t20_a_message_that_is_refused_for_good_is_dead_and_lets_the_next_pass,
            delivery::answers::t20_blocks_that_slack_refuses_are_sent_again_as_text,
            delivery::fallback::t20_what_a_target_refuses_is_told_to_the_fallback_and_holds_up_nothing,
            delivery::slack_bot::t20_blocks_that_slack_refuses_become_text_and_what_it_refuses_then_is_dead,
        ],
    },
    Failure {
        what: "a target that is gone is disabled without a word",
        answer: tests![
            delivery::fallback::t21_the_fallback_of_a_broken_target_takes_over_at_once,
        ],
    },
    Failure {
        what: "an answer says no with 200, or yes with something else",
        answer: tests![
            delivery::answers::t22_teams_is_told_by_a_card_and_its_no_in_words_is_understood,
            delivery::answers::t22_whatever_a_target_answers_it_is_told_in_the_end,
            delivery::slack_bot::t22_slack_says_no_with_200_and_is_understood,
        ],
    },
    Failure {
        what: "a name cannot be resolved for a while",
        answer: tests![
            delivery::addresses::t23_a_name_without_an_address_is_called_that_and_tried_again,
        ],
    },
    Failure {
        what: "an answer has no end",
        answer: tests![
            delivery::answers::t24_an_answer_that_never_ends_costs_neither_memory_nor_more_than_its_time,
        ],
    },
    Failure {
        what: "a redirect leads a secret elsewhere",
        answer: tests![
            delivery::answers::t25_a_redirect_is_not_followed_and_only_its_host_is_told,
        ],
    },
    Failure {
        what: "a target's address leads into the own network",
        answer: tests![
            delivery::addresses::t26_a_redirect_leads_no_further_than_its_answer,
            delivery::addresses::t26_no_spelling_of_a_private_address_is_sent_to,
            delivery::addresses::t26_what_is_opened_is_reached_by_literal_and_by_name_and_nothing_else,
            system::secrets::t26_a_service_that_may_not_calls_nobody_in_its_own_network,
        ],
    },
    Failure {
        what: "a secret is shown in a log, a row or a page",
        answer: tests![
            delivery::secrets::t27_no_secret_is_in_any_row_or_log_though_everybody_echoes_them,
            system::secrets::t27_no_secret_is_in_a_log_a_row_a_metric_a_page_or_the_api,
        ],
    },
    Failure {
        what: "a user's template fails and swallows the alert",
        answer: Answer::CannotHappen(
            "There are no templates of users: every message is rendered by fixed code from typed facts, of \
         which property tests prove that it cannot fail.",
        ),
    },
    Failure {
        what: "a message is too long and is refused",
        answer: tests![
            delivery::answers::t29_t30_long_text_with_mentions_reaches_every_target_and_mentions_nobody,
        ],
    },
    Failure {
        what: "a value of a span mentions a channel or breaks the form",
        answer: tests![
            delivery::answers::t29_t30_long_text_with_mentions_reaches_every_target_and_mentions_nobody,
        ],
    },
    Failure {
        what: "hundreds of alerts at once, and the target refuses all",
        answer: tests![
            delivery::storm::t31_a_storm_is_ten_messages_to_slack_and_a_digest_within_a_second_each,
            delivery::storm::t31_pages_to_pagerduty_are_told_one_by_one_at_its_pace,
            delivery::storm::t31_what_a_digest_tells_is_not_lost_when_it_fails,
        ],
    },
    Failure {
        what: "a target is deleted with deliveries waiting for it",
        answer: tests![
            delivery::answers::t32_what_waits_for_a_removed_target_is_cancelled_with_a_reason_after_a_while,
        ],
    },
    Failure {
        what: "a test message works, and no real one does",
        answer: tests![
            system::notify_test::t33_a_target_that_refuses_alerts_refuses_the_test_and_no_key_is_shown,
            system::notify_test::t33_a_test_takes_the_way_of_an_alert_and_tells_how_that_went,
        ],
    },
    Failure {
        what: "a silence hides alerts for longer than anybody meant",
        answer: tests![
            silences::t34_a_silence_of_others_or_of_later_mutes_nothing,
            silences::t34_a_silence_that_begins_while_it_fires_is_followed_by_a_word_as_well,
            silences::t34_a_silence_that_somebody_ends_is_over_at_once,
            silences::t34_one_silence_follows_another_without_a_word_between,
            silences::t34_the_end_of_what_people_were_told_of_is_never_muted,
            silences::t34_what_is_silenced_is_recorded_with_its_reason_and_told_to_nobody,
            silences::t34_what_nobody_was_told_of_ends_without_a_word_and_says_why,
            silences::t34_what_still_fires_when_its_silence_ends_is_told_at_once,
        ],
    },
    Failure {
        what: "a wake-up is lost, and with it a notification",
        answer: Answer::CannotHappen(
            "Nothing is woken: replicas look every second for what is due, and Postgres is never asked to \
         notify anybody.",
        ),
    },
    Failure {
        what: "one failed channel stops the others, and nobody watches the watcher",
        answer: tests![
            delivery::watching::t36_one_failed_channel_stops_no_other_and_is_told_of_once_and_once_that_it_is_well,
            delivery::watching::t36_that_the_platform_target_fails_is_told_to_the_emergency_target_too,
        ],
    },
];

#[test]
fn every_failure_is_met_by_tests_that_run_or_cannot_happen() {
    let listed = Command::new(std::env::current_exe().unwrap())
        .args(["--list", "--format", "terse"])
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let runs = |name: &str| listed.lines().any(|line| line == format!("{name}: test"));
    for (number, failure) in (1..).zip(&FAILURES) {
        let what = failure.what;
        match failure.answer {
            Answer::Tests(tests) => {
                for (name, _) in tests {
                    assert!(runs(name), "T{number}, {what}: `{name}` is no test");
                }
            }
            Answer::CannotHappen(reason) => assert!(!reason.is_empty(), "T{number}, {what}"),
        }
    }
}
