"""Small files that are whole or not there: written aside, synced, renamed, and the folder synced."""

from pathlib import Path

from pm_frames.files import Files, OsFiles


def write_file(path: Path, data: bytes, files: Files | None = None) -> None:
    """Put `data` at `path` durably and atomically.

    Raises OSError, which names a file; then `path` is as it was, or gone if its name could not be made durable.
    """
    files = OsFiles() if files is None else files
    aside = path.with_name(f".{path.name}.tmp")
    fd = files.open_append(aside)
    try:
        done = 0
        try:
            while done < len(data):
                done += files.write(fd, memoryview(data)[done:])
            files.sync(fd)
        finally:
            files.close(fd)
        files.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        if error.filename is None:
            error.filename = str(path)
        raise
    try:
        files.sync_directory(path.parent)
    except OSError:
        path.unlink(missing_ok=True)  # a seal, say, that is there has to be one that stays
        raise
