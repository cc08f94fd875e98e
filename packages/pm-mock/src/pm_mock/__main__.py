"""Entry point."""


def main(argv: list[str] | None = None) -> int:
    raise SystemExit(2)
