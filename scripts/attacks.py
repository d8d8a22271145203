"""Attacks a running portcullis-server, and prints for each attack what was tried, what got through, and
the bound that holds. Started by scripts/attacks."""

import glob
import http.client
import json
import os
import re
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

SERVER = os.path.abspath(sys.argv[1])
STORES = sys.argv[2:] or ["sqlite", "postgres", "redis"]
PASSWORD = "a password nobody guesses"
HOME, ABROAD = "198.51.100.1", "203.0.113.9"
failed = False


def report(attack, tried, got_through, bound, holds):
    global failed
    failed |= not holds
    mark = "" if holds else "  <-- BROKEN"
    print(f"  {attack:<50} {tried:<39} {got_through:<36} {bound}{mark}", flush=True)


class Site:
    """A server over a store of its own, with the users ada, ADA and eve."""

    def __init__(self, store, *flags, clock=False, files=None):
        self.directory = tempfile.mkdtemp(prefix="portcullis-attacks-")
        name = "attacks_" + secrets.token_hex(4)
        self.url = {
            "sqlite": f"sqlite://{self.directory}/users.db",
            "postgres": f"{os.environ.get('PORTCULLIS_TEST_POSTGRES_URL')}?schema={name}",
            "redis": f"{os.environ.get('PORTCULLIS_TEST_REDIS_URL')}?prefix={name}:",
        }[store]
        self.environment = dict(os.environ, PORTCULLIS_STORE=self.url, PORTCULLIS_LOG="warn")
        subprocess.run([SERVER, "migrate"], env=self.environment, check=True)
        for user in ["ada", "ADA", "eve"]:
            self.command("user", "add", "--username", user, "--password-stdin", text=PASSWORD)
        key, jwt = f"{self.directory}/device.key", f"{self.directory}/jwt.key"
        for path in [key, jwt]:
            with open(path, "w") as file:
                file.write(secrets.token_urlsafe(32))
            os.chmod(path, 0o600)
        environment = dict(self.environment)
        if clock:
            # Read anew at each call; the monotonic clock stays.
            self.clock = f"{self.directory}/clock"
            self.set_clock(0)
            environment |= {
                "LD_PRELOAD": glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")[0],
                "FAKETIME_TIMESTAMP_FILE": self.clock,
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
        command = [
            SERVER, "serve", "--listen", "127.0.0.1:0", "--refresh-tokens", "on",
            "--trusted-proxies", "1", "--device-key-file", key, "--tokens", "opaque", *flags,
        ]
        before = files and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)))
        self.log = open(f"{self.directory}/log", "wb")
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=self.log, text=True,
            preexec_fn=before,
        )
        line = self.process.stdout.readline()
        if not line.startswith("listening on http://"):
            sys.exit(f"the server did not start: {open(self.log.name).read()}")
        host, port = line.split("//")[1].strip().rsplit(":", 1)
        self.address = (host, int(port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()
        shutil.rmtree(self.directory)

    def set_clock(self, offset):
        with open(self.clock + ".new", "w") as file:
            file.write(f"{offset:+d}\n")
        os.replace(self.clock + ".new", self.clock)

    def command(self, *args, text=""):
        subprocess.run(
            [SERVER, *args], env=self.environment, input=text, text=True, check=True,
            stdout=subprocess.DEVNULL,
        )

    def send(self, method, path, body=None, headers=(), address=HOME, timeout=30):
        connection = http.client.HTTPConnection(*self.address, timeout=timeout)
        try:
            connection.putrequest(method, path)
            connection.putheader("X-Forwarded-For", address)
            for name, value in headers:
                connection.putheader(name, value)
            body = body.encode() if isinstance(body, str) else body
            if body is not None:
                connection.putheader("Content-Type", "application/x-www-form-urlencoded")
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            answer.text = answer.read().decode(errors="replace")
            return answer
        finally:
            connection.close()

    def login(self, user, password=PASSWORD, address=HOME, cookies=(), timeout=30):
        form = urlencode({"username": user, "password": password})
        cookies = [("Cookie", cookie) for cookie in cookies]
        return self.send("POST", "/v1/login", form, cookies, address, timeout)

    def refresh(self, *cookies, path="/v1/refresh"):
        return self.send("POST", path, b"", [("Cookie", "; ".join(cookies))])

    def me(self, answer):
        token = json.loads(answer.text)["access_token"]
        return self.send("GET", "/v1/me", headers=[("Authorization", f"Bearer {token}")])

    def memory(self, field):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(rf"{field}:\s+(\d+)", status.read())[1]) / 1024


def cookie(answer, name):
    for header, value in answer.getheaders():
        pair = value.split(";")[0]
        if header.lower() == "set-cookie" and pair.split("=")[0] == name:
            return pair
    return None


def guess(site, user, times, address=ABROAD, at_once=16, cookies=()):
    """So many wrong passwords; returns how many were looked at, and the seconds it took."""
    begun = time.monotonic()
    with ThreadPoolExecutor(at_once) as pool:
        answers = pool.map(
            lambda n: site.login(user, f"wrong {n}", address, cookies).status, range(times)
        )
        statuses = list(answers)
    unexpected = set(statuses) - {401, 429}
    assert not unexpected, unexpected
    return statuses.count(401), time.monotonic() - begun


def delays(seconds):
    """How many attempts are free within so many seconds: five, and one after 1 s, 3 s, 7 s, ..."""
    free, waited, delay = 5, 0, 1
    while waited + delay <= seconds:
        waited, delay, free = waited + delay, delay * 2, free + 1
    return free


def throttle(store):
    with Site(store) as site:
        begun, hashed = time.monotonic(), 0
        for _ in range(50):
            for _ in range(4):
                hashed += site.login("ada", "wrong", ABROAD).status == 401
            site.login("ADA", PASSWORD, ABROAD)
        free = delays(time.monotonic() - begun)
        report("a twin account (ADA) that logs in", "200 guesses at ada", f"{hashed} hashed",
               f"{free}: 5, and one for each delay that passed", hashed <= free)

    with Site(store) as site:
        hashed, seconds = guess(site, "ada", 500, at_once=64)
        free = delays(seconds)
        report("a burst at one account", "500 guesses, 64 at once", f"{hashed} hashed",
               f"{free}: 5, and one for each delay that passed", hashed <= free)

    with Site(store) as site:
        known = site.login("ada", address=HOME)
        device, eves = cookie(known, "device"), cookie(site.login("eve", address=HOME), "device")
        stranger = site.login("eve", address="192.0.2.7")
        guess(site, "ada", 200)
        refused = [
            site.login("ada", address="192.0.2.5").status,
            site.login("ada", address="192.0.2.6", cookies=[eves]).status,
            site.login("ada", address="192.0.2.7", cookies=[cookie(stranger, "refresh_token")]).status,
        ]
        let_in = [
            site.login("ada", address="192.0.2.9", cookies=[cookie(known, "refresh_token")]).status,
            site.login("ada", address="192.0.2.8", cookies=[device]).status,
            site.login("ada", address=HOME).status,
        ]
        report("an owner locked out by 200 guesses", "known session, device or address",
               f"{let_in.count(200)} of 3 let in", "3; from a new place nobody is", let_in == [200] * 3)
        report("another's device or session as one's own", "2 cookies of eve's for ada",
               f"{refused[1:].count(200)} let in", "0", refused == [429, 429, 429])

    with Site(store) as site:
        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(
                lambda n: site.login(f"user{n}", "Password123", "192.0.2.200").status, range(400)))
        hashed = statuses.count(401)
        report("one password at many accounts", "400 names from one address", f"{hashed} hashed",
               "100 an hour, within 4 %, and 16 at once", hashed <= 120)
        other = site.login("ada", address=HOME).status
        report("  and others meanwhile", "a login from elsewhere", str(other), "200", other == 200)


def sessions(store):
    with Site(store) as site:
        successors, statuses = set(), []
        for _ in range(5):
            begun = cookie(site.login("ada"), "refresh_token")
            with ThreadPoolExecutor(32) as pool:
                answers = list(pool.map(lambda _: site.refresh(begun), range(64)))
            statuses += [answer.status for answer in answers]
            successors |= {(begun, cookie(answer, "refresh_token")) for answer in answers}
        report("one refresh token 64 times at once", "5 x 64 requests",
               f"{len(successors)} successors, {statuses.count(200)} x 200",
               "5: one for each token", len(successors) == 5 and set(statuses) == {200})

        login = site.login("ada")
        first = cookie(login, "refresh_token")
        second_answer = site.refresh(first)
        second = cookie(second_answer, "refresh_token")
        third_answer = site.refresh(second)
        third = cookie(third_answer, "refresh_token")
        reused = site.refresh(first).status
        after = [site.refresh(third).status]
        after += [site.me(answer).status for answer in [login, second_answer, third_answer]]
        report("a refresh token used a second time", "it, its last successor, 3 access tokens",
               f"{reused}, then {after}", "401 each", [reused, *after] == [401] * 5)

        login = site.login("ada")
        mine = cookie(login, "refresh_token")
        planted = [f"refresh_token={secrets.token_urlsafe(48)}" for _ in range(20)]
        left = site.refresh(*planted[:10], mine, path="/v1/logout").status
        after = [site.refresh(mine).status, site.me(login).status]
        report("10 planted cookies before a logout", "the refresh token and the access token",
               f"{left}, then {after}", "204, then 401 each", (left, after) == (204, [401, 401]))
        login = site.login("ada")
        mine = cookie(login, "refresh_token")
        left = site.refresh(*planted, mine, path="/v1/logout").status
        report("20 planted cookies before a logout", "logging out", str(left),
               "no 204 while the token is good", left == 400)

        eve = site.refresh(cookie(site.login("eve"), "refresh_token"))
        subject = json.loads(site.me(eve).text)["username"]
        report("another's refresh token", "eve's, sent as ada", f"a token of {subject}'s",
               "a token of eve's", subject == "eve")


def clocks(store):
    with Site(store, clock=True) as site:
        login = site.login("ada")
        first = cookie(login, "refresh_token")
        second = cookie(site.refresh(first), "refresh_token")
        site.set_clock(60)
        third = cookie(site.refresh(second), "refresh_token")
        site.set_clock(-3600)
        replaced = site.refresh(second).status
        report("a replaced refresh token, clock back 1 h", "the token", str(replaced), "401",
               replaced == 401 and third is not None)

        site.set_clock(0)
        login = site.login("ada")
        site.command("user", "set-password", "--username", "ada", "--password-stdin", text=PASSWORD + "2")
        before = site.me(login).status
        site.set_clock(-3600)
        after = site.me(login).status
        report("a token of before a password change, clock back 1 h", "the access token",
               f"{before}, then {after}", "401 each", (before, after) == (401, 401))

    with Site(store, clock=True) as site:
        begun, hashed = time.monotonic(), 0
        for jump in range(50):
            site.set_clock(-301 * jump)
            for _ in range(10):
                hashed += site.login("ada", "wrong", ABROAD).status == 401
        # Each time the clock is set back so far that a delay cannot be told from a wrong clock.
        bound = 5 + 50
        report("guesses while the clock is set back", "500 in 50 jumps of 301 s", f"{hashed} hashed",
               f"{bound}: 5, and one for each jump", hashed <= bound)
        site.set_clock(0)
        owner = site.login("eve").status
        report("  and other accounts then", "a right password", str(owner), "200", owner == 200)


class Slow:
    """Connections whose bodies do not end."""

    def __init__(self, site, count, head, first):
        self.sockets = []
        for _ in range(count):
            try:
                sock = socket.create_connection(site.address, timeout=5)
                sock.sendall(head + first)
                self.sockets.append(sock)
            except OSError:
                pass

    def alive(self):
        def lives(sock):
            sock.setblocking(False)
            try:
                return sock.recv(1) != b"" and False
            except BlockingIOError:
                return True
            except OSError:
                return False
        return sum(map(lives, self.sockets))

    def close(self):
        for sock in self.sockets:
            sock.close()


def head_of(length):
    return (
        b"POST /v1/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"X-Forwarded-For: 203.0.113.77\r\nContent-Length: %d\r\n\r\n" % length
    )


def warm_up(site):
    """Until each hashing thread has its memory, which is not of bodies."""
    assert site.login("ada").status == 200
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: site.login("ada").status, range(64))) == {200}


def others(site, seconds):
    """Logs in for so long, and returns the number of logins and the longest time of one."""
    end, worst, count = time.monotonic() + seconds, 0.0, 0
    while time.monotonic() < end:
        begun = time.monotonic()
        status = site.login("ada", timeout=8).status
        assert status == 200, status
        worst, count = max(worst, time.monotonic() - begun), count + 1
        time.sleep(0.1)
    return count, worst


def bodies():
    """The same on every store: bodies do not reach one."""
    library = ["--body-limit", str(8 << 20)]
    for name, flags, length in [("server's", [], 64 << 10), ("library's", library, 8 << 20)]:
        with Site("sqlite", *flags, files=4096) as site:
            warm_up(site)
            before = site.memory("VmRSS")
            slow = Slow(site, 0, b"", b"")
            threads = []

            def begin():
                opened = Slow(site, 1, head_of(length), b"a" * (length - 1))
                slow.sockets += opened.sockets

            for _ in range(200):
                threads.append(threading.Thread(target=begin))
                threads[-1].start()
            count, worst = others(site, 4)
            for thread in threads:
                thread.join()
            grown = site.memory("VmHWM") - before
            others(site, 11)
            alive = slow.alive()
            slow.close()
            report(f"200 bodies that stop, {name} limits", f"{length - 1} of {length} bytes each",
                   f"{grown:.0f} MiB more, {alive} alive after 15 s",
                   "64 MiB, and 160 KiB of actix-web's for each; 0", grown < 96 and alive == 0)
            report("  and others meanwhile", f"{count} logins", f"the longest {worst * 1000:.0f} ms",
                   "all 200, in 2 s", worst < 2)

    with Site("sqlite", files=1024) as site:
        slow = Slow(site, 1100, head_of(1000), b"a")
        count, worst = others(site, 14)
        alive = slow.alive()
        report("1,100 bodies of which one byte comes", f"{len(slow.sockets)} connections, 1,024 files",
               f"{alive} alive after 14 s", "0", alive == 0)
        report("  and others meanwhile", f"{count} logins", f"the longest {worst * 1000:.0f} ms",
               "all 200, in 8 s", worst < 8)
        slow.close()

    with Site("sqlite", *library, "--bodies-limit", str(64 << 20)) as site:
        warm_up(site)
        field = "x" * (1 << 20)
        names = ["username", "password", "scope", "client_id", "client_secret"]
        form = "&".join(f"{name}={field}" for name in names).encode()
        statuses = []

        def post():
            try:
                statuses.append(site.send("POST", "/v1/login", form, address="203.0.113.78").status)
            except (OSError, http.client.HTTPException):
                statuses.append(0)

        threads = [threading.Thread(target=post) for _ in range(300)]
        for thread in threads:
            thread.start()
        count, worst = others(site, 3)
        for thread in threads:
            thread.join()
        peak = site.memory("VmHWM")
        kinds = {status: statuses.count(status) for status in sorted(set(statuses))}
        report("300 logins with five fields of 1 MiB", "library's limits", f"{peak:.0f} MiB, {kinds}",
               "150 MiB", peak < 150)
        report("  and others meanwhile", f"{count} logins", f"the longest {worst * 1000:.0f} ms",
               "all 200, in 2 s", worst < 2)


for store in STORES:
    print(f"{store}:")
    throttle(store)
    sessions(store)
    clocks(store)
print("bodies:")
bodies()
sys.exit(failed)
