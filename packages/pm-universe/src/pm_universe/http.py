"""Perform what a `Query` asks for over HTTP. The only module that opens a socket.

It decides nothing about pages. It adds what the outside needs: a rate limit, retries with jittered
exponential backoff or the wait that the server asked for, and two time limits, one for a page with
all its retries and one for the whole.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiolimiter
import httpx2
import stamina

from .errors import BadProxy, RemoteError, Unreachable
from .query import Page, Query, Request, Wait

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long and how often to try, and how fast to ask."""

    page_timeout_seconds: float = 30.0
    total_timeout_seconds: float = 600.0
    connect_timeout_seconds: float = 10.0
    attempts: int = 5
    backoff_initial_seconds: float = 0.2
    backoff_max_seconds: float = 5.0
    backoff_jitter_seconds: float = 1.0
    # The venue's own limit for listings of markets: 300 requests in 10 s.
    rate_requests: float = 300
    rate_period_seconds: float = 10.0


class _TryAgain(Exception):
    """The query wants the same request again."""

    def __init__(self, wait: Wait) -> None:
        super().__init__(str(wait.error))
        self.wait = wait


def fetch(
    query: Query,
    on_page: Callable[[Page], None],
    *,
    patience: Patience | None = None,
    user_agent: str = "pm-universe",
) -> None:
    """Run `query` to its end and hand over every page as it arrives.

    Raises:
        RemoteError: no answer, an answer that is final, or no end within the time limits.

    """
    asyncio.run(_Fetcher(query, on_page, patience or Patience()).run(user_agent))


class _Fetcher:
    """One run of one query over one connection pool."""

    def __init__(self, query: Query, on_page: Callable[[Page], None], patience: Patience) -> None:
        self._query = query
        self._on_page = on_page
        self._patience = patience
        self._limiter = aiolimiter.AsyncLimiter(
            patience.rate_requests, patience.rate_period_seconds
        )
        self._last_error: RemoteError | None = None

    async def run(self, user_agent: str) -> None:
        first = self._query.next_request()
        if first is None:
            return
        patience = self._patience
        timeout = httpx2.Timeout(
            patience.page_timeout_seconds, connect=patience.connect_timeout_seconds
        )
        host = urlsplit(first.url).hostname
        try:
            made = httpx2.AsyncClient(
                timeout=timeout,
                headers={"user-agent": user_agent, "accept": "application/json"},
                # A proxy of the environment cannot know what listens on our own machine.
                trust_env=host not in LOOPBACK,
            )
        except ImportError as error:
            raise BadProxy("SOCKS needs socksio: pip install socksio") from error
        except (ValueError, httpx2.InvalidURL) as error:
            raise BadProxy(str(error)) from error
        async with made as client:
            try:
                async with asyncio.timeout(patience.total_timeout_seconds):
                    while (request := self._query.next_request()) is not None:
                        self._on_page(await self._page(client, request))
            except TimeoutError:
                limit_seconds, pages = patience.total_timeout_seconds, self._query.pages
                problem = f"not finished after {limit_seconds:g} s and {pages} pages"
                raise self._late(problem, self._query.next_request() or first) from None

    async def _page(self, client: httpx2.AsyncClient, request: Request) -> Page:
        limit_seconds = self._patience.page_timeout_seconds
        deadline = asyncio.timeout(limit_seconds)
        try:
            async with deadline:
                return await self._page_with_retries(client, request)
        except TimeoutError:
            if not deadline.expired():
                raise  # the limit of the whole run
            raise self._late(f"no page within {limit_seconds:g} s", request) from None

    async def _page_with_retries(self, client: httpx2.AsyncClient, request: Request) -> Page:
        patience = self._patience
        self._last_error = None
        try:
            async for attempt in stamina.retry_context(
                on=_backoff,
                attempts=patience.attempts,
                timeout=None,
                wait_initial=patience.backoff_initial_seconds,
                wait_max=patience.backoff_max_seconds,
                wait_jitter=patience.backoff_jitter_seconds,
            ):
                with attempt:
                    return await self._attempt(client, request)
        except _TryAgain as again:
            raise again.wait.error from None
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise _unreachable(error, request) from error
        raise AssertionError("a retry loop ended without a result")

    async def _attempt(self, client: httpx2.AsyncClient, request: Request) -> Page:
        await self._limiter.acquire()
        try:
            status, headers, body = await self._get(client, request)
        except httpx2.TransportError as error:
            self._last_error = _unreachable(error, request)
            raise
        outcome = self._query.response_received(status, headers, body)
        if isinstance(outcome, Wait):
            self._last_error = outcome.error
            raise _TryAgain(outcome)
        return outcome

    async def _get(
        self, client: httpx2.AsyncClient, request: Request
    ) -> tuple[int, dict[str, str], bytes]:
        body = bytearray()
        async with client.stream("GET", request.url, params=list(request.params)) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            try:
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > self._query.page_bytes_max:
                        break  # the query refuses what is longer than its limit
            except httpx2.DecodingError:
                body.clear()  # damaged compression: nothing to read, which the query calls garbage
            return response.status_code, headers, bytes(body)

    def _late(self, problem: str, request: Request) -> RemoteError:
        last = self._last_error
        if last is None:
            return Unreachable(problem, url=request.full_url)
        last_problem = f"{problem}; last: {last.args[0]}"
        return Unreachable(last_problem, url=last.url, status=last.status, body=last.body)


def _backoff(error: Exception) -> bool | float:
    if isinstance(error, _TryAgain):
        return True if error.wait.seconds is None else error.wait.seconds
    return isinstance(error, httpx2.TransportError)


def _unreachable(error: Exception, request: Request) -> Unreachable:
    words = str(error) or type(error).__name__
    return Unreachable(f"unreachable ({words})", url=request.full_url)
