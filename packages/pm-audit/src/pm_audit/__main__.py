"""pm-audit: is this capture credible? The gates, or the command that the first argument names."""

import os
import sys

from pm_audit.command_shell import Shell


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    shell = Shell(sys.stdin, sys.stdout, sys.stderr, os.environ)
    if arguments[:1] == ["ledger"]:
        from pm_audit.ledger_command import run_ledger

        return run_ledger(arguments[1:], shell)
    if arguments[:1] == ["freezes"]:
        from pm_audit.freezes_command import run_freezes

        return run_freezes(arguments[1:], shell)
    from pm_audit.gates_command import run_gates

    return run_gates(arguments, shell)


if __name__ == "__main__":
    sys.exit(main())
