"""The web admin as people meet it: a real browser on a real server."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import Server, eventually

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect
Page, Browser = playwright.Page, playwright.Browser


def head_of(server: Server) -> int:
    return int(server.get("/api/v1/events", params={"limit": 1}).json()["head"])


def test_the_overview_shows_nodes_tasks_executions_and_events(page: Page, admin: str, server: Server) -> None:
    node = server.get("/api/v1/nodes").json()["nodes"][0]
    page.goto(admin)
    expect(page.locator("#stats")).to_contain_text("1of 1")
    expect(page.locator("#nodes tbody")).to_contain_text(f"{node['ip_address']}:{node['port']}")
    expect(page.locator("#tasks tbody")).to_contain_text("/e/hello")
    expect(page.locator("#executions tbody")).to_contain_text("completed")
    expect(page.locator("#events tbody")).to_contain_text("ExecutionCompleted")


@pytest.mark.parametrize("path", ["/", "/admin", "/admin/"])
def test_every_address_of_the_overview_leads_to_it(page: Page, admin: str, path: str) -> None:
    assert page.goto(admin + path).ok
    expect(page.locator("#events tbody tr").first).to_be_visible()


def test_a_new_execution_appears_without_a_reload(page: Page, admin: str, server: Server) -> None:
    page.goto(admin)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    page.evaluate("window.sameDocument = true")
    answer = server.post("/e/hello")
    row = page.locator(f"#execution-{answer.headers['X-Execution-Id']}")
    expect(row).to_be_visible()
    expect(page.locator("#events tbody tr").first).to_contain_text(str(head_of(server)))
    assert page.evaluate("window.sameDocument")


def test_an_execution_says_where_it_ran_and_why(page: Page, admin: str, server: Server) -> None:
    name = server.get("/api/v1/nodes").json()["nodes"][0]["metadata"]["name"]
    execution = server.post("/e/hello").headers["X-Execution-Id"]
    page.goto(admin)
    expect(page.locator("#executions tbody tr", has=page.locator(f"#execution-{execution}"))).to_contain_text(name)
    expect(page.locator(f"#execution-{execution}")).to_have_text(execution[-8:])
    page.locator(f"#execution-{execution}").click()
    why = server.get(f"/api/v1/executions/{execution}/placement").json()["explanation"]
    expect(page.locator("#placement")).to_contain_text(why)


def test_a_drained_node_is_said_to_be_drained(page: Page, admin: str, server: Server) -> None:
    body = {"ip_address": "127.0.0.9", "port": 50052, "metadata": {"name": "mill"}}
    uuid = server.post("/api/v1/nodes", json=body).json()["node_uuid"]
    server.post(f"/api/v1/nodes/{uuid}/drain", json={"reason": "a new kernel"})
    page.goto(admin)
    expect(page.locator("#nodes tbody tr", has_text="mill")).to_contain_text("drained")
    page.goto(f"{admin}/nodes/{uuid}")
    expect(page.locator(".title")).to_contain_text("drained")
    expect(page.locator("#history")).to_contain_text("NodeDrained")
    server.call("DELETE", f"/api/v1/nodes/{uuid}")


def test_a_link_keeps_the_focus_while_its_table_is_refreshed(page: Page, admin: str, server: Server) -> None:
    page.goto(admin)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    link = page.locator("#tasks tbody a").first
    link.focus()
    focused = link.get_attribute("id")
    server.register("echo", endpoint="focus")
    expect(page.locator("#tasks tbody")).to_contain_text("/e/focus")
    assert page.evaluate("document.activeElement.id") == focused


def test_a_busy_log_does_not_make_a_storm_of_requests(page: Page, admin: str, server: Server) -> None:
    page.goto(admin)
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    node = server.get("/api/v1/nodes").json()["nodes"][0]["uuid"]
    for _ in range(300):
        server.post(f"/api/v1/nodes/{node}/heartbeat")
    expect(page.locator("#events tbody tr").first).to_contain_text(str(head_of(server)))
    assert 0 < len(asked) < 60


def test_the_page_goes_on_after_the_server_was_restarted(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    with Server(tmp_path / "restarted") as server:
        page.goto(f"http://127.0.0.1:{server.admin_port}")
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
        server.stop()
        expect(page.locator("#live")).to_have_attribute("data-state", "lost")
        server.start()
        server.register("hello")
        expect(page.locator("#tasks tbody")).to_contain_text("hello", timeout=20_000)
        expect(page.locator("#live")).to_have_attribute("data-state", "live")
    page.close()


@pytest.mark.parametrize("panel", ["nodes", "tasks", "executions", "events"])
def test_every_row_leads_to_its_page(page: Page, admin: str, panel: str) -> None:
    page.goto(admin)
    page.locator(f"#{panel} tbody a").first.click()
    expect(page).to_have_url(re.compile(rf"/{panel}/[0-9a-f-]+$"))
    expect(page.locator("dl.properties").first).to_be_visible()


def test_an_execution_shows_its_output_and_its_events_in_order(page: Page, admin: str, server: Server) -> None:
    done = server.run(server.register("hello")).json()
    page.goto(f"{admin}/executions/{done['execution_id']}")
    expect(page.locator("#output")).to_have_text(done["output"].strip())
    types = page.locator("#history tbody td:nth-child(2)").all_inner_texts()
    assert types == ["ExecutionRequested", "ExecutionStarted", "ExecutionCompleted"]


def test_a_running_execution_is_seen_to_end_on_its_page(page: Page, admin: str, server: Server) -> None:
    started = server.run(server.register("sleep"), mode="async").json()["execution_id"]
    eventually(lambda: server.get(f"/api/v1/executions/{started}").json()["status"] == "running")
    page.goto(f"{admin}/executions/{started}")
    expect(page.locator(".title .status")).to_have_text("running")
    server.post(f"/api/v1/executions/{started}/terminate", json={"reason": "seen enough"})
    expect(page.locator(".title .status")).to_have_text("cancelled")
    expect(page.locator(".bad")).to_contain_text("seen enough")


def test_a_failure_shows_its_error_and_log_lines(page: Page, admin: str, server: Server) -> None:
    failed = server.run(server.register("log_flood", config={"limits.log_bytes": "20000"})).json()
    page.goto(f"{admin}/executions/{failed['execution_id']}")
    expect(page.locator(".bad")).to_contain_text(failed["error"]["message"])
    expect(page.locator(".lines tr").nth(10)).to_be_visible()


def test_links_lead_from_an_execution_to_its_task_instance_and_node(page: Page, admin: str, server: Server) -> None:
    done = server.run(server.register("hello")).json()
    for kind, ident in (("tasks", "task_id"), ("instances", "instance_id"), ("nodes", "node_uuid")):
        page.goto(f"{admin}/executions/{done['execution_id']}")
        page.locator(f"dl a[href='/{kind}/{done[ident]}']").first.click()
        expect(page).to_have_url(f"{admin}/{kind}/{done[ident]}")
        expect(page.locator("#history tbody tr").first).to_be_visible()


def test_looking_back_shows_the_past_and_links_stay_there(page: Page, admin: str, server: Server) -> None:
    before = head_of(server)
    server.register("echo", endpoint="from-the-future")
    for task in server.get("/api/v1/tasks").json()["tasks"]:
        server.call("PUT", f"/api/v1/tasks/{task['task_id']}", json={"description": "changed in the future"})
    page.goto(admin)
    expect(page.locator("#tasks")).to_contain_text("from-the-future")
    page.locator("#as_of").fill(str(before))
    page.get_by_role("button", name="Look back").click()
    expect(page).to_have_url(f"{admin}/?as_of={before}")
    expect(page.locator("#tasks")).not_to_contain_text("from-the-future")
    expect(page.locator("#events tbody tr").first).to_contain_text(str(before))
    page.locator("#tasks tbody a").first.click()
    expect(page).to_have_url(re.compile(rf"/tasks/[0-9a-f-]+\?as_of={before}$"))
    expect(page.locator("#history")).to_contain_text("TaskCreated")
    expect(page.locator("#content")).not_to_contain_text(re.compile("TaskUpdated|in the future"))
    page.goto(admin + "/?as_of=0")
    expect(page.locator("#tasks")).to_contain_text("None yet")


def test_the_slider_can_be_moved_by_the_keyboard(page: Page, admin: str, server: Server) -> None:
    page.goto(admin)
    page.locator("#scrub").focus()
    page.keyboard.press("Home")
    expect(page).to_have_url(f"{admin}/?as_of=0")


def test_markup_in_a_name_is_shown_as_text(page: Page, admin: str, server: Server) -> None:
    name = "<img src=x onerror=alert(1)><b>bold</b>"
    body = {"name": name, "version": "1", "description": "<script>alert(2)</script>", "metadata": {"<i>": "</pre>"}}
    task = server.post("/api/v1/tasks", json=body).json()["task_id"]
    page.on("dialog", lambda _: pytest.fail("a script ran"))
    page.goto(admin)
    expect(page.locator(f"#task-{task}")).to_have_text(name)
    page.locator(f"#task-{task}").click()
    expect(page.locator("h1")).to_have_text(name)
    expect(page.get_by_text("<script>alert(2)</script>").first).to_be_visible()
    assert page.locator("main img, main b, main script").count() == 0


def test_an_unknown_thing_is_told_in_the_same_style(browser: Browser, admin: str) -> None:
    page = browser.new_page()
    assert page.goto(f"{admin}/executions/nothing").status == 404
    expect(page.locator("h1")).to_contain_text("'nothing' not found")
    assert page.goto(f"{admin}/?as_of=999999999").status == 422
    page.get_by_role("link", name="Go to the overview").click()
    expect(page).to_have_url(f"{admin}/")
    page.close()


@pytest.fixture
def without_scripts(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def test_everything_can_be_read_without_scripts(without_scripts: Page, admin: str, server: Server) -> None:
    without_scripts.goto(admin)
    expect(without_scripts.locator("#executions tbody")).to_contain_text("completed")
    without_scripts.locator("#as_of").fill("1")
    without_scripts.get_by_role("button", name="Look back").click()
    expect(without_scripts.locator("#events tbody tr")).to_have_count(1)


def test_an_empty_platform_says_what_to_do_next(page: Page, tmp_path: Path) -> None:
    with Server(tmp_path / "empty", "--enable-web-admin", role="sms") as server:
        page.goto(f"http://127.0.0.1:{server.admin_port}")
        for panel in ("nodes", "tasks", "executions"):
            expect(page.locator(f"#{panel} pre")).to_have_text(re.compile(f"curl .*{server.url}/", re.DOTALL))
        page.goto("about:blank")


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_sticks_out_of_the_window(page: Page, admin: str, server: Server, width: int) -> None:
    done = server.run(server.register("hello", endpoint=f"a-rather-long-endpoint-name-of-an-agent-{width}")).json()
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("/", "/?as_of=3", f"/executions/{done['execution_id']}", f"/tasks/{done['task_id']}", "/events/1"):
        page.goto(admin + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
