"""Points the published clients of both venues at `crossbook simex` and checks that they understand each other.

Usage: check.py CROSSBOOK, the path of the program. One line a check; exits with 1 when any of them failed.
"""

import asyncio
import json
import subprocess
import sys
import time
import traceback
from decimal import Decimal

failures = []


def check(name, call):
    """Runs one check; what it returns is shown."""
    try:
        result = call()
        if asyncio.iscoroutine(result):
            result = asyncio.run(asyncio.wait_for(result, 60))
        print(f"ok    {name}: {result}", flush=True)
    except Exception as error:  # a check reports whatever its client raises
        failures.append(name)
        print(f"FAIL  {name}: {type(error).__name__}: {error}", flush=True)
        traceback.print_exc()


def need(condition, message):
    if not condition:
        raise AssertionError(message)


def book_is_sound(bids, asks, levels):
    need(len(bids) >= levels and len(asks) >= levels, f"{len(bids)} bids, {len(asks)} asks")
    prices = [Decimal(str(level[0])) for level in bids], [Decimal(str(level[0])) for level in asks]
    need(prices[0] == sorted(prices[0], reverse=True), "bids are not sorted")
    need(prices[1] == sorted(prices[1]), "asks are not sorted")
    need(prices[0][0] < prices[1][0], "crossed")
    return f"{prices[0][0]} / {prices[1][0]}"


# --- ccxt -------------------------------------------------------------------------------------------------------------


def ccxt_settings(key):
    return {"apiKey": key["access_key"], "secret": key["secret"], "options": {}, "enableRateLimit": True}


def ccxt_upbit(module, urls, key):
    client = module.upbit(ccxt_settings(key))
    for name in ("public", "private"):
        client.urls["api"][name] = urls["upbit"]["rest"]
    client.urls["api"]["ws"] = urls["upbit"]["ws"] + "/websocket/v1"
    return client


def ccxt_binance(module, urls, key):
    client = module.binance(ccxt_settings(key))
    client.options.update({"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False, "fetchCurrencies": False})
    for name in ("public", "private", "v3"):
        client.urls["api"][name] = urls["binance"]["rest"] + "/api/v3"
    if isinstance(client.urls["api"].get("ws"), dict):
        client.urls["api"]["ws"]["spot"] = urls["binance"]["ws"] + "/ws"
        client.urls["api"]["ws"]["ws-api"] = {
            "spot": urls["binance"]["ws"] + "/ws-api/v3",
            "future": urls["binance"]["ws"] + "/ws-api/v3",
        }
    return client


def ccxt_order(client, symbol):
    """A limit buy far below the market: seen open with its funds locked, then taken back."""
    book = client.fetch_order_book(symbol)
    quote = symbol.split("/")[1]
    before = client.fetch_balance()[quote]
    # On the grids of both venues, and above their smallest totals.
    price = Decimal(str(book["bids"][0][0])) / 2
    price = price // 1000 * 1000
    amount = Decimal("0.01")
    order = client.create_order(symbol, "limit", "buy", float(amount), float(price))
    seen = client.fetch_order(order["id"], symbol)
    need(seen["status"] == "open", f"status {seen['status']}")
    need(Decimal(str(seen["price"])) == price, f"price {seen['price']}")
    open_ids = [row["id"] for row in client.fetch_open_orders(symbol)]
    need(order["id"] in open_ids, "not among the open orders")
    locked = Decimal(str(client.fetch_balance()[quote]["used"])) - Decimal(str(before["used"]))
    need(locked >= price * amount, f"only {locked} locked")
    client.cancel_order(order["id"], symbol)
    seen = client.fetch_order(order["id"], symbol)
    need(seen["status"] == "canceled", f"status {seen['status']}")
    after = client.fetch_balance()[quote]
    need(after["free"] == before["free"], f"{before['free']} became {after['free']}")
    return f"{order['id']} at {price}, {locked} locked, then free again"


def ccxt_taking(client, symbol):
    """A sell at the market: filled, with a fee."""
    amount = 0.01
    order = client.create_order(symbol, "market", "sell", amount)
    seen = client.fetch_order(order["id"], symbol)
    need(seen["filled"] == amount, f"filled {seen['filled']}")
    return f"{seen['filled']} for {seen['cost']}"


def ccxt_checks(urls, keys):
    import ccxt

    clients = {
        "upbit": (ccxt_upbit(ccxt, urls, keys["upbit"]), "BTC/KRW"),
        "binance": (ccxt_binance(ccxt, urls, keys["binance"]), "BTC/USDT"),
    }
    for venue, (client, symbol) in clients.items():
        check(f"ccxt {venue} markets", lambda: f"{len(client.load_markets())} markets")

        def book():
            book = client.fetch_order_book(symbol, 20)
            return book_is_sound(book["bids"], book["asks"], 15)

        check(f"ccxt {venue} book", book)
        check(f"ccxt {venue} trades", lambda: f"{len(client.fetch_trades(symbol))} trades")
        check(f"ccxt {venue} ticker", lambda: client.fetch_ticker(symbol)["last"])

        def balance():
            balance = client.fetch_balance()
            need(balance["BTC"]["free"] > 0, "no BTC")
            return {name: balance[name]["total"] for name in ("BTC", symbol.split("/")[1])}

        check(f"ccxt {venue} balances", balance)
        check(f"ccxt {venue} signed order and cancel", lambda: ccxt_order(client, symbol))
        check(f"ccxt {venue} signed market order", lambda: ccxt_taking(client, symbol))

        def wrong_secret():
            settings = dict(keys[venue], secret="not the secret")
            other = (ccxt_upbit if venue == "upbit" else ccxt_binance)(ccxt, urls, settings)
            try:
                other.fetch_balance()
            except ccxt.AuthenticationError as error:
                return type(error).__name__
            raise AssertionError("a wrong signature was taken")

        check(f"ccxt {venue} wrong secret", wrong_secret)

    async def watch(make, venue, symbol):
        import ccxt.pro

        client = make(ccxt.pro, urls, keys[venue])
        try:
            seen = set()
            for _ in range(30):
                book = await client.watch_order_book(symbol)
                top = book_is_sound(book["bids"], book["asks"], 10)
                seen.add(top)
            return f"30 updates, {len(seen)} different tops, last {top}"
        finally:
            await client.close()

    check("ccxt.pro upbit book stream", lambda: watch(ccxt_upbit, "upbit", "BTC/KRW"))
    check("ccxt.pro binance depth stream", lambda: watch(ccxt_binance, "binance", "BTC/USDT"))


# --- python-binance ---------------------------------------------------------------------------------------------------


def python_binance_checks(urls, keys):
    from binance import AsyncClient, BinanceSocketManager, Client, DepthCacheManager
    from binance.exceptions import BinanceAPIException
    from binance.ws.websocket_api import WebsocketAPI

    rest, ws = urls["binance"]["rest"], urls["binance"]["ws"]
    key, secret = keys["binance"]["access_key"], keys["binance"]["secret"]
    for cls in (Client, AsyncClient):
        cls.API_URL = rest + "/api"
        cls.WS_API_URL = ws + "/ws-api/v3"
    BinanceSocketManager.STREAM_URL = ws + "/"
    client = Client(key, secret)

    check("python-binance ping and time", lambda: client.get_server_time()["serverTime"])
    check("python-binance exchange info", lambda: client.get_symbol_info("BTCUSDT")["status"])

    def book():
        book = client.get_order_book(symbol="BTCUSDT", limit=100)
        return book_is_sound(book["bids"], book["asks"], 100)

    check("python-binance book", book)
    check("python-binance klines", lambda: f"{len(client.get_klines(symbol='BTCUSDT', interval='1m'))} candles")
    check("python-binance balances", lambda: client.get_asset_balance(asset="USDT"))

    def order():
        bid = Decimal(client.get_order_book(symbol="BTCUSDT", limit=5)["bids"][0][0])
        price = str((bid / 2).quantize(Decimal("1")))
        placed = client.order_limit_buy(symbol="BTCUSDT", quantity="0.01", price=price, newClientOrderId="interop-1")
        need(placed["status"] == "NEW" and placed["clientOrderId"] == "interop-1", placed)
        seen = client.get_order(symbol="BTCUSDT", origClientOrderId="interop-1")
        need(seen["orderId"] == placed["orderId"], seen)
        cancelled = client.cancel_order(symbol="BTCUSDT", orderId=placed["orderId"])
        need(cancelled["status"] == "CANCELED", cancelled)
        return f"{placed['orderId']} at {price}"

    check("python-binance signed order and cancel", order)

    def market():
        placed = client.order_market_buy(symbol="BTCUSDT", quoteOrderQty="100")
        need(placed["status"] in ("FILLED", "EXPIRED") and placed["fills"], placed)
        mine = client.get_my_trades(symbol="BTCUSDT", orderId=placed["orderId"])
        need(len(mine) == len(placed["fills"]), mine)
        return f"{placed['executedQty']} for {placed['cummulativeQuoteQty']}"

    check("python-binance signed market order", market)

    def refused():
        try:
            client.order_limit_buy(symbol="BTCUSDT", quantity="0.01", price="0.005")
        except BinanceAPIException as error:
            need(error.code == -1013, error)
            return error
        raise AssertionError("an order off the grid was taken")

    check("python-binance refused order", refused)

    async def depth_cache():
        client = await AsyncClient.create(key, secret)
        try:
            async with DepthCacheManager(client, symbol="BTCUSDT", ws_interval=100) as cache:
                for _ in range(20):
                    depth = await cache.recv()
                    top = book_is_sound(depth.get_bids(), depth.get_asks(), 50)
            return f"20 updates, last {top}"
        finally:
            await client.close_connection()

    check("python-binance depth stream (DepthCacheManager)", depth_cache)

    async def user_stream():
        client = await AsyncClient.create(key, secret)
        try:
            manager = BinanceSocketManager(client)
            async with manager.user_socket() as stream:
                book = await client.get_order_book(symbol="BTCUSDT", limit=5)
                price = str((Decimal(book["bids"][0][0]) / 2).quantize(Decimal("1")))
                placed = await client.order_limit_buy(symbol="BTCUSDT", quantity="0.01", price=price)
                await client.cancel_order(symbol="BTCUSDT", orderId=placed["orderId"])
                seen = []
                while "CANCELED" not in seen:
                    event = await asyncio.wait_for(stream.recv(), 10)
                    event = event.get("event", event)
                    if event["e"] == "executionReport":
                        seen.append(event["X"])
            need(seen == ["NEW", "CANCELED"], seen)
            return seen
        finally:
            await client.close_connection()

    check("python-binance user data stream", user_stream)

    async def ws_api():
        client = await AsyncClient.create(key, secret)
        try:
            book = await client.ws_get_order_book(symbol="BTCUSDT", limit=5)
            price = str((Decimal(book["bids"][0][0]) / 2).quantize(Decimal("1")))
            placed = await client.ws_create_order(
                symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price=price
            )
            cancelled = await client.ws_cancel_order(symbol="BTCUSDT", orderId=placed["orderId"])
            need(cancelled["status"] == "CANCELED", cancelled)
            return f"{placed['orderId']} at {price}"
        finally:
            await client.close_connection()

    check("python-binance WebSocket API order and cancel", ws_api)


# --- Upbit's official SDK ---------------------------------------------------------------------------------------------


def upbit_sdk_checks(urls, keys):
    import upbit
    from upbit import AsyncUpbit, Upbit

    settings = {
        "access_key": keys["upbit"]["access_key"],
        "secret_key": keys["upbit"]["secret"],
        "base_url": urls["upbit"]["rest"],
        "websocket_base_url": urls["upbit"]["ws"],
    }
    client = Upbit(**settings)

    check("upbit-sdk markets", lambda: f"{len(client.trading_pairs.list())} markets")

    def book():
        book = client.orderbooks.list(markets="KRW-BTC")[0]
        bids = [(unit.bid_price, unit.bid_size) for unit in book.orderbook_units]
        asks = [(unit.ask_price, unit.ask_size) for unit in book.orderbook_units]
        return book_is_sound(bids, asks, 30)

    check("upbit-sdk book", book)
    check("upbit-sdk instruments", lambda: client.orderbooks.list_instruments(markets="KRW-BTC")[0].tick_size)
    check("upbit-sdk balances", lambda: {row.currency: row.balance for row in client.accounts.list()})
    check("upbit-sdk chance", lambda: client.orders.retrieve_chance(market="KRW-BTC").bid_fee)

    def order():
        book = client.orderbooks.list(markets="KRW-BTC")[0]
        price = str(Decimal(str(book.orderbook_units[0].bid_price)) / 2 // 1000 * 1000)
        params = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "volume": "0.001", "price": price}
        tested = client.orders.test_create(**params)
        need(tested.state == "wait", tested)
        name = f"interop-{time.time_ns()}"
        placed = client.orders.create(**params, identifier=name)
        seen = client.orders.retrieve(identifier=name)
        need(seen.uuid == placed.uuid and seen.state == "wait", seen)
        need(placed.uuid in [row.uuid for row in client.orders.list_open(market="KRW-BTC")], "not open")
        cancelled = client.orders.cancel(uuid=placed.uuid)
        need(cancelled.state == "wait", "the answer to a cancel shows the order as it was")
        need(client.orders.retrieve(uuid=placed.uuid).state == "cancel", "not cancelled")
        by_names = client.orders.list_by_uuids(uuids=[placed.uuid])
        need([row.uuid for row in by_names] == [placed.uuid], by_names)
        return f"{placed.uuid} at {price}, locked {placed.locked}"

    check("upbit-sdk signed order and cancel", order)

    def refused():
        try:
            client.orders.create(market="KRW-BTC", side="bid", ord_type="limit", volume="0.001", price="100000001")
        except upbit.BadRequestError as error:
            need("invalid_price_bid" in str(error), error)
            return error
        raise AssertionError("an order off the grid was taken")

    check("upbit-sdk refused order", refused)

    async def stream():
        client = AsyncUpbit(**settings)
        async with client.ws_public.connect_public() as connection:
            request = [{"ticket": "interop"}, {"type": "orderbook", "codes": ["KRW-BTC.15"]}, {"format": "DEFAULT"}]
            await connection.send_raw(json.dumps(request))
            kinds = []
            for _ in range(20):
                event = await asyncio.wait_for(connection.recv(), 10)
                kinds.append(event.stream_type)
                units = event.orderbook_units
                book_is_sound(
                    [(unit.bid_price, unit.bid_size) for unit in units],
                    [(unit.ask_price, unit.ask_size) for unit in units],
                    15,
                )
            need(kinds[0] == "SNAPSHOT" and set(kinds[1:]) == {"REALTIME"}, kinds)
        return "20 books"

    check("upbit-sdk book stream", stream)

    async def private():
        client = AsyncUpbit(**settings)
        async with client.ws_private.connect_private() as connection:
            await connection.send_raw(json.dumps([{"ticket": "interop"}, {"type": "myOrder"}, {"type": "myAsset"}]))
            # The subscription is not acknowledged; one that is listed is in force.
            await connection.send_raw(json.dumps([{"method": "LIST_SUBSCRIPTIONS"}, {"ticket": "interop"}]))
            await asyncio.wait_for(connection.recv_bytes(), 10)
            book = (await client.orderbooks.list(markets="KRW-BTC"))[0]
            price = str(Decimal(str(book.orderbook_units[0].bid_price)) / 2 // 1000 * 1000)
            placed = await client.orders.create(
                market="KRW-BTC", side="bid", ord_type="limit", volume="0.001", price=price
            )
            await client.orders.cancel(uuid=placed.uuid)
            states = []
            assets = 0
            while states != ["wait", "cancel"] or assets < 2:
                event = json.loads(await asyncio.wait_for(connection.recv_bytes(), 10))
                if event["type"] == "myOrder":
                    states.append(event["state"])
                else:
                    assets += 1
            return f"orders {states}, {assets} times assets"

    check("upbit-sdk private stream", private)


# --- pyupbit ----------------------------------------------------------------------------------------------------------


def pyupbit_checks(urls, keys):
    """Its addresses are written into its functions; the requests are turned around on their way."""
    import pyupbit
    import requests

    send = requests.sessions.Session.send

    def redirected(session, request, **kwargs):
        request.url = request.url.replace("https://api.upbit.com", urls["upbit"]["rest"])
        request.headers["Host"] = request.url.split("/")[2]
        return send(session, request, **kwargs)

    requests.sessions.Session.send = redirected
    try:
        client = pyupbit.Upbit(keys["upbit"]["access_key"], keys["upbit"]["secret"])
        check("pyupbit price", lambda: pyupbit.get_current_price("KRW-BTC"))
        check("pyupbit balance", lambda: client.get_balance("KRW"))

        def order():
            price = pyupbit.get_current_price("KRW-BTC") // 2000 * 1000
            placed = client.buy_limit_order("KRW-BTC", price, 0.001)
            need("uuid" in placed, placed)
            # It sends DELETE with a JSON body.
            cancelled = client.cancel_order(placed["uuid"])
            need(cancelled.get("uuid") == placed["uuid"], cancelled)
            return placed["uuid"]

        check("pyupbit signed order and cancel", order)
    finally:
        requests.sessions.Session.send = send


def main():
    program = sys.argv[1]
    simex = subprocess.Popen([program, "simex", "--json", "--seed", "1"], stdout=subprocess.PIPE, text=True)
    try:
        told = json.loads(simex.stdout.readline())
        keys = {account["venue"]: account for account in told["accounts"]}
        # Some trades happen first: tickers and candles of a market without any are empty.
        time.sleep(5)
        ccxt_checks(told, keys)
        python_binance_checks(told, keys)
        upbit_sdk_checks(told, keys)
        pyupbit_checks(told, keys)
    finally:
        simex.terminate()
        simex.wait(10)
    print(f"{len(failures)} of the checks failed" if failures else "all checks passed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
