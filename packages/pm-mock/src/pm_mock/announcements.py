"""The events of a market's life that every connection with `custom_feature_enabled` gets."""

from pm_mock.catalogue import Event, Listing


def new_market(event: Event, listing: Listing, now_ms: int) -> dict[str, object]:
    """The `new_market` event."""
    fields: dict[str, object] = {
        "id": listing.market_id,
        "question": listing.question,
        "market": listing.condition_id,
        "slug": listing.slug,
        "description": listing.description,
        "assets_ids": listing.token_ids,
        "outcomes": listing.outcomes,
        "event_message": {
            "id": event.event_id,
            "ticker": event.slug,
            "slug": event.slug,
            "title": event.title,
            "description": event.description,
        },
        "timestamp": str(now_ms),
        "event_type": "new_market",
        "tags": [],
        "condition_id": listing.condition_id,
        "active": False,
        "clob_token_ids": listing.token_ids,
        "sports_market_type": "",
        "line": "",
        "game_start_time": "",
        "order_price_min_tick_size": listing.tick(),
        "group_item_title": "",
        "taker_base_fee": "1000",
        "fees_enabled": listing.fees is not None,
    }
    if listing.fees is not None:
        fields["fee_schedule"] = {
            "exponent": listing.fees.exponent,
            "rate": listing.fees.rate,
            "taker_only": True,
            "rebate_rate": listing.fees.rebate_rate,
        }
    return fields


def market_resolved(listing: Listing, winner: int, now_ms: int) -> dict[str, object]:
    """The `market_resolved` event."""
    assert listing.token_ids is not None
    return {
        "id": listing.market_id,
        "market": listing.condition_id,
        "assets_ids": listing.token_ids,
        "winning_asset_id": listing.token_ids[winner],
        "winning_outcome": listing.outcomes[winner],
        "timestamp": str(now_ms),
        "event_type": "market_resolved",
        "tags": listing.event.tags,
    }
