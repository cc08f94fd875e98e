from decimal import Decimal

from pm_mock.http_message import error, json_response, request


def test_a_target_is_split_into_path_and_parameters() -> None:
    made = request("GET", "/markets?id=1&id=2&slug=a%20b&empty=")
    assert made.path == "/markets"
    assert made.query == {"id": ["1", "2"], "slug": ["a b"], "empty": [""]}
    assert made.first("id") == "1"
    assert made.first("none") is None


def test_decimals_are_numbers_digit_for_digit() -> None:
    assert json_response({"tick": Decimal("0.0010"), "text": "0.1"}).body == (
        b'{"tick":0.0010,"text":"0.1"}'
    )


def test_errors_have_a_body() -> None:
    assert error(404, "no book")[:2] == (404, b'{"error":"no book"}')
