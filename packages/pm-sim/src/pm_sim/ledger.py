"""The money of one simulated account: double entry in millionths, asserted after every posting.

Every movement is a posting: amounts by account, whose sum is zero. What is owned is positive (`cash`,
`reserved`, `in_transit`, the cost basis of positions), so are fees; `deposits` and `realised` are what
it is owed to, and negative. The cash identity

    cash + reserved + in transit + cost basis = deposits + realised - fees

is therefore nothing but the sum of all accounts, and is checked each time.

No short positions exist: at the venue one cannot sell what one does not hold. A posting touched by doubt
(a tainted fill) makes its token tainted until the position is flat again: what is realised and paid in
between counts as tainted, so clean and tainted together are the total.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from pm_sim.fixed import ONE, CashE6, PxE6, SzE6, cost_up, proceeds_down

NS_PER_DAY: Final = 86_400 * 1_000_000_000

Account = str | tuple[str, int]  # ("position", token)
CASH: Final = "cash"
RESERVED: Final = "reserved"
IN_TRANSIT: Final = "in_transit"
DEPOSITS: Final = "deposits"
REALISED: Final = "realised"
REALISED_TAINTED: Final = "realised_tainted"
FEES: Final = "fees"
FEES_TAINTED: Final = "fees_tainted"


class LedgerError(Exception):
    """A posting that cannot be: a fault of the engine, never of a strategy."""


@dataclass(slots=True)
class Holding:
    """Shares of one token and what they cost."""

    token: int
    held_e6: int = 0
    offered_e6: int = 0  # of these, in sell orders that are under way or in the book
    locked_e6: int = 0  # of these, from conversions that are not done
    cost_e6: int = 0
    is_tainted: bool = False

    @property
    def free_e6(self) -> int:
        """Shares that may still be sold."""
        return self.held_e6 - self.offered_e6 - self.locked_e6


class Transit(NamedTuple):
    """Collateral, and shares that can be sold, when a merge or conversion is done."""

    due_ns: int
    number: int
    cost_e6: int
    pays_e6: int
    is_tainted: bool
    unlocks: tuple[int, ...] = ()  # tokens
    size_e6: int = 0


class Totals(NamedTuple):
    """Where an account stands, in millionths of a dollar; pnl = realised + unrealised - fees."""

    cash_e6: int
    reserved_e6: int
    in_transit_e6: int
    cost_basis_e6: int
    deposits_e6: int
    realized_pnl_e6: int
    unrealized_pnl_e6: int
    fees_paid_e6: int
    total_pnl_e6: int
    tainted_pnl_e6: int
    clean_pnl_e6: int


class Ledger:
    """The account of one lens. Amounts and sizes are not negative unless a docstring says so."""

    def __init__(self, deposit_e6: CashE6, at_ns: int = 0) -> None:
        """Open with cash; ValueError if it is negative."""
        if deposit_e6 < 0:
            raise ValueError(f"a deposit of {deposit_e6}")
        self.holdings: dict[int, Holding] = {}
        self.held_e6: dict[int, int] = {}  # shares by token, only what is not zero
        self.postings = 0
        self.moves = 0  # of shares: a change here means that positions have changed
        self.balances: dict[str, int] = dict.fromkeys(
            (CASH, RESERVED, IN_TRANSIT, DEPOSITS, REALISED, REALISED_TAINTED, FEES, FEES_TAINTED),
            0,
        )
        self._cost_e6 = 0
        self._transits: list[Transit] = []
        self._transit_number = 0
        self._now_ns = at_ns
        self._capital_e6_ns = 0
        self._tied_e6 = 0  # since the last posting
        self._post(at_ns, "deposit", (CASH, deposit_e6), (DEPOSITS, -deposit_e6))

    # -- what can be asked ----------------------------------------------------------------------

    @property
    def cash_e6(self) -> int:
        """Cash that nothing is reserved from."""
        return self.balances[CASH]

    def holding(self, token: int) -> Holding:
        """Return the holding of a token, an empty one if there never was any."""
        found = self.holdings.get(token)
        if found is None:
            found = self.holdings[token] = Holding(token)
        return found

    def capital_days_e6(self, at_ns: int) -> int:
        """Return dollars tied up (reserved, in transit, at cost) times days, rounded up."""
        tied = self._tied_e6 * max(0, at_ns - self._now_ns)
        return -(-(self._capital_e6_ns + tied) // NS_PER_DAY)

    def totals(self, marks: Mapping[int, PxE6 | None]) -> Totals:
        """Value everything at the marks (a bid for each token held); no mark is worth nothing."""
        unrealised = tainted = 0
        for token, holding in self.holdings.items():
            if not holding.held_e6:
                continue
            mark = marks.get(token)
            worth = 0 if mark is None else proceeds_down(mark, SzE6(holding.held_e6))
            unrealised += worth - holding.cost_e6
            if holding.is_tainted:
                tainted += worth - holding.cost_e6
        # What is in transit is certain, but not yet there: a gain counts when it arrives, a loss now.
        for one in self._transits:
            loss = min(0, one.pays_e6 - one.cost_e6)
            unrealised += loss
            tainted += loss * one.is_tainted
        balances = self.balances
        realised = -(balances[REALISED] + balances[REALISED_TAINTED])
        fees = balances[FEES] + balances[FEES_TAINTED]
        total = realised + unrealised - fees
        tainted += -balances[REALISED_TAINTED] - balances[FEES_TAINTED]
        return Totals(
            cash_e6=balances[CASH],
            reserved_e6=balances[RESERVED],
            in_transit_e6=balances[IN_TRANSIT],
            cost_basis_e6=self._cost_e6,
            deposits_e6=-balances[DEPOSITS],
            realized_pnl_e6=realised,
            unrealized_pnl_e6=unrealised,
            fees_paid_e6=fees,
            total_pnl_e6=total,
            tainted_pnl_e6=tainted,
            clean_pnl_e6=total - tainted,
        )

    def positions_e6(self) -> dict[int, int]:
        """Return the shares that are held, by token, in the order of tokens."""
        return dict(sorted(self.held_e6.items()))

    # -- orders ---------------------------------------------------------------------------------

    def reserve_cash(self, amount_e6: CashE6, at_ns: int) -> bool:
        """Set cash aside for a buy; False if there is not enough, and nothing happens."""
        if amount_e6 > self.balances[CASH]:
            return False
        self._post(at_ns, "reserve", (CASH, -amount_e6), (RESERVED, amount_e6))
        return True

    def release_cash(self, amount_e6: CashE6, at_ns: int) -> None:
        """Give back what an order no longer needs."""
        self._post(at_ns, "release", (RESERVED, -amount_e6), (CASH, amount_e6))

    def offer_shares(self, token: int, size_e6: SzE6) -> bool:
        """Set shares aside for a sale; False if so many are not free, and nothing happens."""
        holding = self.holding(token)
        if size_e6 > holding.free_e6:
            return False
        holding.offered_e6 += size_e6
        return True

    def withdraw_shares(self, token: int, size_e6: SzE6) -> None:
        """Take shares back from an order that ended."""
        self._offered(token, size_e6).offered_e6 -= size_e6

    # -- fills ----------------------------------------------------------------------------------

    def bought(
        self, token: int, px_e6: PxE6, size_e6: SzE6, fee_e6: CashE6, at_ns: int, *, tainted: bool
    ) -> CashE6:
        """Pay for shares out of what is reserved; return what was paid, fee included."""
        cost = cost_up(px_e6, size_e6)
        holding = self.holding(token)
        holding.is_tainted |= tainted
        self._hold(holding, size_e6)
        holding.cost_e6 += cost
        self._cost_e6 += cost
        self._post(
            at_ns,
            "buy",
            (RESERVED, -(cost + fee_e6)),
            (("position", token), cost),
            (FEES_TAINTED if holding.is_tainted else FEES, fee_e6),
        )
        return CashE6(cost + fee_e6)

    def sold(
        self, token: int, px_e6: PxE6, size_e6: SzE6, fee_e6: CashE6, at_ns: int, *, tainted: bool
    ) -> CashE6:
        """Hand over offered shares; return the proceeds before the fee."""
        holding = self._offered(token, size_e6)
        holding.is_tainted |= tainted
        holding.offered_e6 -= size_e6
        proceeds = proceeds_down(px_e6, size_e6)
        doubt = holding.is_tainted
        cost = self._release(holding, size_e6)
        self._post(
            at_ns,
            "sell",
            (CASH, proceeds - fee_e6),
            (FEES_TAINTED if doubt else FEES, fee_e6),
            (("position", token), -cost),
            (REALISED_TAINTED if doubt else REALISED, cost - proceeds),
        )
        return proceeds

    # -- sets -----------------------------------------------------------------------------------

    def merge(
        self, tokens: Iterable[int], size_e6: SzE6, *, pays_e6: CashE6, at_ns: int, due_ns: int
    ) -> bool:
        """Give up `size_e6` free shares of each token for collateral that arrives at `due_ns`.

        YES and NO of a market pay 1 a pair. False if the shares are not there, and nothing happens.
        """
        holdings = [(token, self.holding(token)) for token in tokens]
        if not size_e6 or any(one.free_e6 < size_e6 for _, one in holdings):
            return False
        doubt = any(one.is_tainted for _, one in holdings)
        costs = [(token, self._release(one, size_e6)) for token, one in holdings]
        total = sum(cost for _, cost in costs)
        self._post(
            at_ns,
            "merge",
            *((("position", token), -cost) for token, cost in costs),
            (IN_TRANSIT, total),
        )
        self._send(due_ns, total, pays_e6, tainted=doubt)
        return True

    def convert(
        self,
        given: Iterable[int],
        got: Iterable[int],
        size_e6: SzE6,
        *,
        at_ns: int,
        due_ns: int,
    ) -> bool:
        """Turn NO shares of `given` outcomes of a neg-risk set into YES shares of all others (`got`).

        m NO tokens give m - 1 dollars a share and one YES of each other outcome; the dollars arrive at
        `due_ns`, and only from then on can the shares be sold. The cost that the collateral does not cover goes to the YES shares, evenly. False if the
        shares are not there, and nothing happens.
        """
        holdings = [(token, self.holding(token)) for token in given]
        targets = list(got)
        if not size_e6 or not holdings or any(one.free_e6 < size_e6 for _, one in holdings):
            return False
        doubt = any(one.is_tainted for _, one in holdings)
        costs = [(token, self._release(one, size_e6)) for token, one in holdings]
        total = sum(cost for _, cost in costs)
        pays = (len(holdings) - 1) * size_e6
        carried = max(0, total - pays) if targets else 0
        amounts: list[tuple[Account, int]] = [(("position", token), -cost) for token, cost in costs]
        for at, token in enumerate(targets):
            share = carried // len(targets) + (at < carried % len(targets))
            holding = self.holding(token)
            holding.is_tainted |= doubt
            self._hold(holding, size_e6)
            holding.locked_e6 += size_e6
            holding.cost_e6 += share
            self._cost_e6 += share
            amounts.append((("position", token), share))
        self._post(at_ns, "convert", *amounts, (IN_TRANSIT, total - carried))
        self._send(
            due_ns, total - carried, CashE6(pays),
            tainted=doubt, unlocks=tuple(targets), size_e6=size_e6,
        )  # fmt: skip
        return True

    def next_arrival_ns(self) -> int | None:
        """Return when the next collateral in transit arrives."""
        return min(one.due_ns for one in self._transits) if self._transits else None

    def arrive(self, at_ns: int) -> None:
        """Book all collateral that is due."""
        due = sorted(one for one in self._transits if one.due_ns <= at_ns)
        self._transits = [one for one in self._transits if one.due_ns > at_ns]
        for one in due:
            for token in one.unlocks:
                self.holding(token).locked_e6 -= one.size_e6
            self._post(
                one.due_ns,
                "arrive",
                (CASH, one.pays_e6),
                (IN_TRANSIT, -one.cost_e6),
                (REALISED_TAINTED if one.is_tainted else REALISED, one.cost_e6 - one.pays_e6),
            )

    def settle(self, token: int, payout_px_e6: PxE6, at_ns: int) -> CashE6:
        """Pay out all shares of a token at what each is worth: 0, 1, or between at a tie; return the payout.

        Shares that are offered must have been withdrawn (LedgerError). ValueError outside [0, 1].
        """
        if not 0 <= payout_px_e6 <= ONE:
            raise ValueError(f"a payout of {payout_px_e6} a share")
        holding = self.holding(token)
        if holding.offered_e6:
            raise LedgerError(
                f"token {token} is settled while {holding.offered_e6} shares are offered"
            )
        size = SzE6(holding.held_e6)
        if not size:
            return CashE6(0)
        doubt = holding.is_tainted
        pays = proceeds_down(payout_px_e6, size)
        cost = self._release(holding, size)
        self._post(
            at_ns,
            "settle",
            (CASH, pays),
            (("position", token), -cost),
            (REALISED_TAINTED if doubt else REALISED, cost - pays),
        )
        return pays

    # -- inside ---------------------------------------------------------------------------------

    def _offered(self, token: int, size_e6: SzE6) -> Holding:
        holding = self.holding(token)
        if size_e6 > holding.offered_e6:
            raise LedgerError(
                f"{size_e6} shares of token {token}, but {holding.offered_e6} are offered"
            )
        return holding

    def _hold(self, holding: Holding, more_e6: int) -> None:
        self.moves += 1
        holding.held_e6 += more_e6
        if holding.held_e6:
            self.held_e6[holding.token] = holding.held_e6
        else:
            del self.held_e6[holding.token]

    def _release(self, holding: Holding, size_e6: SzE6) -> int:
        """Take shares out of a holding; return their cost, rounded up, and all of it with the last share."""
        if size_e6 > holding.held_e6:
            raise LedgerError(f"{size_e6} shares, but {holding.held_e6} are held")
        cost = -(-holding.cost_e6 * size_e6 // holding.held_e6)
        self._hold(holding, -size_e6)
        holding.cost_e6 -= cost
        self._cost_e6 -= cost
        if not holding.held_e6:
            holding.is_tainted = False
        return cost

    def _send(
        self,
        due_ns: int,
        cost_e6: int,
        pays_e6: CashE6,
        *,
        tainted: bool,
        unlocks: tuple[int, ...] = (),
        size_e6: int = 0,
    ) -> None:
        self._transit_number += 1
        self._transits.append(
            Transit(due_ns, self._transit_number, cost_e6, pays_e6, tainted, unlocks, size_e6)
        )

    def _post(self, at_ns: int, reason: str, *amounts: tuple[Account, int]) -> None:
        balances = self.balances
        total = 0
        for account, amount in amounts:
            total += amount
            if isinstance(account, str):
                balances[account] += amount
        if total:
            raise LedgerError(f"{reason} does not balance: {amounts}")
        # What is posted late (an arrival) does not take time back.
        if at_ns > self._now_ns:
            self._capital_e6_ns += self._tied_e6 * (at_ns - self._now_ns)
            self._now_ns = at_ns
        self._tied_e6 = balances[RESERVED] + balances[IN_TRANSIT] + self._cost_e6
        self.postings += 1
        if balances[CASH] < 0 or balances[RESERVED] < 0:
            raise LedgerError(f"{reason} overdraws: {balances}")
        if sum(balances.values()) + self._cost_e6:
            raise LedgerError(
                f"the books do not balance after {reason}: {balances}, {self._cost_e6}"
            )
