"""Rows that tests with names of their own try: each name is checked to exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hakit.ssh.options import Options
from tests.lab.faults.row import Elsewhere

if TYPE_CHECKING:
    from tests.lab.faults.row import Area, Row

SSH, LAB, AGENT = "tests/unit/ssh", "tests/lab", "tests/unit/agent"
OPERATIONS = f"{LAB}/test_operations.py"
HERE = "tests/lab/faults/test_runs.py"
MAINTENANCE = f"{LAB}/postgres/test_maintenance.py"
SABOTAGE = f"{LAB}/qemu/test_sabotage.py::test_the_old_network_returns_by_itself"
PLANTED = "tests/lab/faults/test_secrets.py"


def _rows(area: Area, *rows: tuple[str, str, str, tuple[str, ...]]) -> tuple[Row, ...]:
    return tuple(Elsewhere(name, area, broken, promise, tests) for name, broken, promise, tests in rows)


ROWS: tuple[Row, ...] = (
    *_rows(
        "ssh",
        (
            "refused",
            "The port refuses",
            "One message within the connect timeout; the other hosts are done",
            (f"{SSH}/test_unreachable.py::test_a_port_that_refuses",),
        ),
        (
            "filtered",
            "A firewall drops everything",
            "The same, after 10 s",
            (f"{SSH}/test_unreachable.py::test_a_host_that_drops_packets",),
        ),
        (
            "no-name",
            "The host's name is unknown, or the name server silent",
            "The message names the name",
            (
                f"{SSH}/test_unreachable.py::test_a_name_that_no_one_knows",
                f"{SSH}/test_unreachable.py::test_a_name_server_that_does_not_answer",
            ),
        ),
        (
            "mute",
            "The port accepts and says nothing, or speaks something else",
            "The message says what came instead of SSH",
            (
                f"{SSH}/test_unreachable.py::test_a_server_that_says_nothing",
                f"{SSH}/test_unreachable.py::test_a_server_that_is_none_of_ssh",
            ),
        ),
        (
            "hangs",
            "sshd hangs after its banner, at the login, or opening a channel",
            "It is given up within the connect timeout",
            (
                f"{SSH}/test_unreachable.py::test_a_server_that_stops_after_its_banner",
                f"{SSH}/test_unreachable.py::test_a_server_that_hangs_at_the_login",
                f"{SSH}/test_unreachable.py::test_a_server_that_opens_no_channel",
            ),
        ),
        (
            "freezes",
            "The host freezes in the middle of a command",
            f"After {Options().patience:.0f} s without a sign of life, and questions for one, it counts as lost",
            (f"{SSH}/test_connect.py::test_a_session_that_freezes_is_noticed",),
        ),
        (
            "floods",
            "The host floods its output",
            "Memory is bounded; it is given up in time",
            (
                f"{SSH}/test_connect.py::test_output_beyond_the_limit_is_cut_and_said_so",
                f"{SSH}/test_connect.py::test_output_without_end_is_given_up_in_time_and_in_bounds",
            ),
        ),
        (
            "unknown-key",
            "The host's key is unknown",
            "Nothing is said to it; `hakit trust` is named",
            (f"{SSH}/test_connect.py::test_an_unknown_key_is_refused_before_anything_is_said",),
        ),
        (
            "changed-key",
            "The host's key has changed, or is revoked",
            "It is refused, with the place of the known one, until it is replaced by name",
            (
                f"{SSH}/test_connect.py::test_a_changed_key_is_refused_and_the_known_one_named",
                f"{SSH}/test_connect.py::test_a_revoked_key_is_refused",
                f"{SSH}/test_trust.py::test_a_changed_key_is_refused_until_it_is_replaced_by_name",
            ),
        ),
        (
            "certificate",
            "A host's certificate is of a stranger, out of date, of another host, or revoked",
            "It is refused",
            (
                f"{SSH}/test_certificates.py::test_a_certificate_that_does_not_hold_is_refused",
                f"{SSH}/test_certificates.py::test_a_certificate_of_a_stranger_is_refused",
                f"{SSH}/test_certificates.py::test_revocation_overrules_a_certificate",
            ),
        ),
        (
            "jump",
            "A jump host fails, or dies in the middle",
            "It is named as the jump host that it is; it is not tried for every host behind it",
            (
                f"{SSH}/test_jumps.py::test_a_jump_host_that_fails_is_named_as_such",
                f"{SSH}/test_jumps.py::test_a_failed_jump_host_is_not_tried_for_every_host",
                f"{SSH}/test_jumps.py::test_a_jump_host_that_dies_is_named_by_the_hosts_behind_it",
            ),
        ),
        (
            "wrong-password",
            "The password of the login is wrong",
            "It fails at once, and is not tried on every host",
            (
                f"{SSH}/test_login.py::test_a_wrong_password_fails_at_once_and_is_tried_once",
                f"{SSH}/test_login.py::test_a_wrong_password_is_not_tried_on_every_host",
            ),
        ),
        (
            "sudo",
            "sudo is missing, refuses, or gets a wrong password",
            "It fails at once and says which",
            (
                f"{AGENT}/test_sudo.py::test_a_second_prompt_is_the_end",
                f"{AGENT}/test_sudo.py::test_a_host_without_sudo_says_so",
                f"{LAB}/test_sudo.py::test_why_sudo_makes_nobody_root_is_told_at_once",
            ),
        ),
        (
            "no-python",
            "The host has no Python, or one that is too old",
            "It says so, and that `hakit bootstrap` brings it",
            (
                f"{LAB}/test_bootstrap.py::test_a_bare_host_becomes_manageable_once",
                f"{LAB}/test_unsupported.py::test_a_python_that_is_too_old_is_named",
            ),
        ),
        (
            "system",
            "The host runs a system that hakit does not know",
            "It is refused and left alone",
            (f"{LAB}/test_unsupported.py::test_another_system_is_named",),
        ),
        (
            "hanging-bashrc",
            "The login's `.bashrc` hangs",
            "The host is given up after 30 s",
            (f"{LAB}/test_shells.py::test_a_bashrc_that_hangs_is_given_up_in_time",),
        ),
        (
            "shells",
            "The login shell is csh, fish, zsh, or none at all",
            "Any shell will do; where there is none, it says so",
            (
                f"{LAB}/test_shells.py::test_any_login_shell_will_do",
                f"{LAB}/test_shells.py::test_a_shell_that_is_none_is_named",
            ),
        ),
    ),
    *_rows(
        "run",
        (
            "two-operators",
            "Two operators apply at once",
            "The second is told who works there, since when, from where; nothing is changed by it",
            (f"{HERE}::test_a_second_operator_is_told_who_works_and_changes_nothing",),
        ),
        (
            "plan-meanwhile",
            "Somebody plans while another applies",
            "The plan is shown; the run is not disturbed",
            (f"{HERE}::test_a_plan_does_not_wait_for_a_run_and_disturbs_none",),
        ),
        (
            "agent-killed",
            "The agent is killed in the middle",
            "The host is reported as failed, the others are done; the next run says that it takes the lock over",
            (f"{HERE}::test_the_lock_of_a_dead_run_is_taken_over_with_a_message",),
        ),
        (
            "controller-killed",
            "The controller is killed in the middle",
            "The agent finishes the step it is in and ends; the next apply completes the rest",
            (f"{HERE}::test_when_the_controller_is_killed_the_agent_finishes_its_step_and_ends",),
        ),
        (
            "interrupted",
            "Ctrl-C, SIGTERM or SIGHUP",
            "The batches that run are finished, what is left is named, exit 130",
            (f"{HERE}::test_one_signal_ends_the_batches_that_run_and_says_what_is_left",),
        ),
        (
            "interrupted-twice",
            "Ctrl-C twice",
            "It ends now; the next apply completes what was begun",
            (f"{HERE}::test_a_second_ctrl_c_stops_now",),
        ),
        (
            "unreachable",
            "A host is not reached",
            "It is listed in the end with the reason, exit 1; the others are done",
            (f"{HERE}::test_a_host_that_is_not_reached_is_listed_in_the_end_and_the_others_are_done",),
        ),
        (
            "cable",
            "A host's cable is pulled in the middle",
            "The loss is noticed within 20 s; when the cable is back nothing of the run is left on the host",
            (f"{HERE}::test_a_connection_that_is_lost_in_the_middle_is_noticed_and_the_others_are_done",),
        ),
        (
            "changed-meanwhile",
            "A file changes between the plan that was shown and its turn",
            "It is left alone, and said to have changed",
            (
                f"{HERE}::test_what_changed_since_the_plan_was_shown_is_not_overwritten",
                f"{AGENT}/test_reviewed.py::test_a_file_that_changes_while_its_daemon_judges_is_left_alone",
            ),
        ),
        (
            "apt-locked-for-ever",
            "Another process never gives apt's lock back",
            "It is given up after 15 min, or when the operator goes; the message names the process",
            ("tests/unit/agent/test_apt_lock.py::test_a_lock_that_is_never_given_back_is_given_up",),
        ),
        (
            "cut-anywhere",
            "A run is cut at any point: controller, agent, or the host's power",
            "The next apply completes it; all is as after an undisturbed run",
            (
                f"{AGENT}/test_kills.py::test_a_run_killed_anywhere_is_completed_by_the_next",
                f"{LAB}/test_cuts.py::test_an_apply_that_is_cut_anywhere_is_completed_by_the_next",
            ),
        ),
    ),
    *_rows(
        "change",
        (
            "remains",
            "What remains of a group would not serve",
            "The member is not touched; an override is recorded",
            (
                f"{LAB}/test_rolling.py::test_what_remains_must_serve",
                f"{LAB}/test_rolling.py::test_the_override_is_recorded",
            ),
        ),
        (
            "restart",
            "A change needs a restart of every member",
            "One at a time, backups first; a client sees nothing",
            (f"{LAB}/test_rolling.py::test_configuration_that_needs_a_restart_rolls_unnoticed",),
        ),
        (
            "agreement",
            "A change on which the members must agree",
            "Backups stop, the holder changes, backups start; never two holders",
            (
                f"{LAB}/test_rolling.py::test_members_that_must_agree_change_together",
                f"{LAB}/test_rolling.py::test_a_part_of_those_that_must_agree_is_refused",
            ),
        ),
        (
            "upgrade",
            "Packages are upgraded, hosts are booted",
            "Through the same gate",
            (
                f"{LAB}/test_rolling.py::test_a_package_is_brought_up_and_down_again_unnoticed",
                f"{LAB}/test_rolling.py::test_every_host_is_booted_again_unnoticed",
            ),
        ),
        (
            "primary-moves",
            "The host that leads a database is booted, upgraded or taken out, or its server restarted",
            "Standbys go first, another member takes over, then the host has its turn; not where nobody can take over",
            (
                f"{MAINTENANCE}::test_every_host_is_booted_and_the_primary_last",
                f"{MAINTENANCE}::test_the_server_is_upgraded_on_standbys_first",
                f"{MAINTENANCE}::test_a_primary_in_maintenance_leads_no_more",
                f"{MAINTENANCE}::test_a_primary_whose_role_nobody_can_take_is_not_booted",
                f"{LAB}/postgres/test_changes.py::test_more_memory_and_a_new_database_come_in_one_run",
            ),
        ),
        (
            "maintenance",
            "An operator takes a host out and back",
            "A client sees nothing; the host stays out over reboots; the last one that serves is refused",
            (
                f"{OPERATIONS}::test_a_host_goes_out_and_comes_back_unnoticed",
                f"{OPERATIONS}::test_a_server_in_maintenance_gets_nothing_and_stays_out",
                f"{OPERATIONS}::test_a_balancer_in_maintenance_takes_nothing_after_a_reboot",
                f"{OPERATIONS}::test_a_host_that_can_not_serve_stays_in_maintenance",
            ),
        ),
        (
            "retire",
            "A host leaves for good, alive or dead",
            "Its peers forget it first; an apply that still names it is refused",
            (
                f"{OPERATIONS}::test_a_host_leaves_for_good",
                f"{OPERATIONS}::test_a_dead_host_is_forgotten_by_its_peers",
            ),
        ),
        (
            "replaced",
            "A dead host is replaced by a new one of its name",
            "The new host key is refused until `hakit trust` is told to replace it",
            (f"{OPERATIONS}::test_a_new_machine_takes_the_name_of_a_dead_one",),
        ),
        (
            "some-fail",
            "Some hosts fail",
            "`--max-fail` begins no more; `--failed` takes up those that did not end well",
            (
                f"{OPERATIONS}::test_nothing_more_is_begun_once_enough_have_failed",
                f"{OPERATIONS}::test_only_what_failed_is_done_again",
            ),
        ),
        (
            "rejected",
            "A daemon rejects its new configuration",
            "The running one is left alone; the message names line, template and inventory",
            (f"{LAB}/test_main_job.py::test_a_rejected_configuration_never_replaces_the_running_one",),
        ),
    ),
    *_rows(
        "secrets",
        (
            "shown",
            "Everything is shown: `-vv`, JSON, render, diffs",
            "Secrets have their names there, not their values",
            (
                f"{PLANTED}::test_the_first_apply_with_everything_shown",
                f"{PLANTED}::test_every_way_to_look",
            ),
        ),
        (
            "quoted",
            "A validator rejects a configuration and quotes it",
            "The value is masked in what it said",
            (f"{PLANTED}::test_a_configuration_that_is_rejected",),
        ),
        (
            "printed",
            "A daemon prints a secret and dies",
            "Its journal is shown with the value masked",
            (f"{PLANTED}::test_a_daemon_that_prints_a_secret_and_dies",),
        ),
        (
            "rotated",
            "A secret changes",
            "It rolls like any change; the diff says that a secret changes",
            (f"{PLANTED}::test_rotation_with_diffs",),
        ),
        (
            "killed",
            "The controller is killed while secrets are on their way",
            "Nothing is left readable; arguments and environments of all processes are watched throughout",
            (f"{PLANTED}::test_a_controller_that_is_killed",),
        ),
    ),
    *_rows(
        "ssh",
        (
            "frozen",
            "The host stands still in the middle of a plan or an apply, its sshd too",
            "It counts as lost within 20 s, the others are done; what thaws ends after the step it was in",
            (f"{LAB}/faults/test_hangs.py::test_a_host_that_stands_still_is_noticed_and_the_others_are_done",),
        ),
        (
            "hangs-behind-sshd",
            "sshd answers and everything else hangs, or the agent alone; in mid-apply or in mid-plan",
            "Given up after 30 s without a sign of life; the next operator is told what is left there, how to end it",
            (
                f"{LAB}/faults/test_hangs.py::test_a_host_that_hangs_behind_its_sshd_is_noticed",
                f"{LAB}/faults/test_hangs.py::test_a_host_that_hangs_before_the_plan_is_noticed",
            ),
        ),
        (
            "held",
            "The kernel holds the agent, or a command that it runs, for ever (a dead disk or file server)",
            "The agent's signs of life end after 30 s; a command is left behind 15 s after its deadline",
            (
                f"{AGENT}/test_pulse.py::test_a_main_thread_that_the_kernel_holds_is_not_passed_off_as_alive",
                f"{AGENT}/test_pulse.py::test_a_command_that_can_not_be_killed_is_left_behind",
            ),
        ),
        (
            "long-step",
            "A step takes long",
            "It is waited for: the agent shows that it lives",
            (f"{LAB}/faults/test_hangs.py::test_an_agent_that_is_busy_for_long_is_left_alone",),
        ),
        (
            "wrong-sudo-password",
            "sudo's password is wrong",
            "It is tried on one host; the others say that it was not tried there",
            ("tests/unit/engine/test_sudo_password.py::test_a_wrong_password_is_given_to_one_host",),
        ),
    ),
    *_rows(
        "network",
        *(
            (name, broken, promise, (SABOTAGE,))
            for name, broken, promise in (
                (
                    "wrong-gateway",
                    "The new network's gateway answers nobody",
                    "The host finds that before the confirmation; the change is given up, the old network returns",
                ),
                (
                    "wrong-netmask",
                    "With the new netmask nothing leads to the controller any more",
                    "Nobody can confirm it, so the old network returns by itself",
                ),
                (
                    "member-without-carrier",
                    "A member of the new bond has no carrier",
                    "The same as with a wrong gateway: half a bond is not confirmed",
                ),
                (
                    "wrong-vlan",
                    "The host's address moves to a VLAN in which nobody is",
                    "Nobody can confirm it, so the old network returns by itself",
                ),
                (
                    "lacp-without-partner",
                    "The new bond speaks LACP, the switch does not",
                    "The host misses its partner and says so, even while frames pass; the old network returns",
                ),
                (
                    "agent-killed-in-mid-change",
                    "The change and the agent are killed when the old network is gone and the new one not there",
                    "What was cut off is never confirmed; the timer puts the old network back",
                ),
                (
                    "controller-killed-in-transit",
                    "hakit is killed while the new network waits for its confirmation",
                    "The old network returns by itself; the next plan tells of it",
                ),
                (
                    "reset-in-mid-change",
                    "The host loses its power amid the change",
                    "The old files are back before the boot reads them, and nothing is put back a second time",
                ),
                (
                    "reset-before-the-confirmation",
                    "The host loses its power between the change and its confirmation",
                    "The same: what was not confirmed does not outlive a restart",
                ),
                (
                    "service-that-fails",
                    "systemd-networkd does not start any more, or ifupdown's scripts fail, for the old network too",
                    "The change ends at once; links, addresses and routes are put back without their manager",
                ),
            )
        ),
    ),
)
