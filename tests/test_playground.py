"""The playground in a headless Chromium, on the built book.

Its numbers are checked against PyTorch, and every control is tried.
"""

import json
import re
import threading
from functools import partial
from http.server import ThreadingHTTPServer

import numpy as np
import pytest
import torch
from browser import AXE, BUILT, violations
from PIL import Image

import apdnn_lite as ap

PAGE = "book/playground.html"
TEST = ap.load("fashion_mnist").test[:256]
CONTENTS = BUILT / "playground" / "playground.json"
SHIPPED = json.loads(CONTENTS.read_text(encoding="utf-8")) if CONTENTS.is_file() else {}
SIGMA, P = (
    SHIPPED.get("sigma"),
    SHIPPED.get("p"),
)  # where the sliders begin: those of the owner's fixed key

pytestmark = pytest.mark.skipif(
    not CONTENTS.is_file(), reason="the book was built without the playground: run `make book`"
)


def trained(name):
    """The network and the transform of the playground, as the page's record says their size."""
    import playground  # tools/, which browser.py puts on the path

    if name == "mended":
        return ap.experiments.beyond.mended_network(
            playground.MENDED, "fixed", playground.SIZE, playground.SEED
        )
    net, transform, _ = ap.pretrained(
        playground.DATASET, playground.NETWORK, name, playground.SIZE, playground.SEED
    )
    return net, transform


def as_transform(key):
    """The page's key as a transform."""
    thief = ap.Learned((1, 28, 28)).requires_grad_(False)
    thief.delta.copy_(torch.tensor(key).reshape(1, 28, 28))
    return thief


def wait(page):
    assert page.evaluate("playground.settled()"), page.locator("#pg-failed").inner_text()
    return page.evaluate("playground.shown()")


@pytest.fixture
def play(open_page):
    """A function that opens the page, loads the first network and waits until it is measured."""
    def play_it(query="", **options):
        page = open_page(PAGE + query, **options)
        page.locator("#pg-load").click()
        page.wait_for_function("window.playground")
        wait(page)
        return page

    return play_it


def count(net, transform=None):
    return round(256 * ap.accuracy(net, TEST, transform))


def near(found, expected):
    """Equal, or one off: where two classes are level, rounding decides."""
    return found[1] == 256 and abs(found[0] - expected) <= 1


# milliseconds from a move of σ until the first 64 images are answered, and those that the network
# takes for as many images without the page
FIRST_64 = """async sigma => {
    const images = [...Array(64).keys()];
    let start = performance.now();
    await playground.logits(playground.shown().network, images);
    const alone = performance.now() - start;
    const slider = document.getElementById("pg-sigma");
    start = performance.now();
    slider.value = sigma;
    slider.dispatchEvent(new Event("input"));
    while (playground.shown().yours[1] < 64) await new Promise(done => setTimeout(done, 5));
    const moved = performance.now() - start;
    await playground.settled();
    return {alone, moved};
}"""


# ---- numbers

def test_every_networks_logits_are_those_of_pytorch(play):
    page = play()
    indices = list(range(0, 256, 16))
    key = ap.Fixed((1, 28, 28), 0.1, 0.2, seed=5)
    for name in ("baseline", "fixed", "learned", "generator", "mended"):
        net, owner = trained(name)
        for own_key, authorized in ((None, 0), (None, 1), (key.key.flatten().tolist(), 0)):
            transform = key if own_key else owner if authorized else None
            found = torch.tensor(
                page.evaluate(
                    "([name, ...rest]) => playground.logits(name, ...rest)",
                    [name, indices, own_key, authorized],
                )
            )
            expected = ap.predict(net, TEST.images[indices], transform)
            assert torch.allclose(found, expected, atol=1e-3) and torch.equal(
                found.argmax(1), expected.argmax(1)
            ), name
    assert page.problems == []


def test_the_accuracies_shown_are_those_of_python_whatever_is_moved(play):
    page = play()
    net, owner = trained("fixed")
    shown = wait(page)
    key = as_transform(page.evaluate("playground.key()"))
    # seed 1, number 0 of the page is guess 0 of the package
    guess = ap.attacks.input_only(net, TEST.images[:2], SIGMA, P, draws=2, seed=1).transforms
    assert torch.equal(key.delta, guess[0].key)
    assert near(shown["authorized"], count(net, owner)) and near(shown["unauthorized"], count(net))
    assert near(shown["yours"], count(net, key)) and len(shown["tries"]) == 1
    low, high = ap.binomial_interval(*shown["authorized"])
    assert (
        page.locator("#pg-authorized").inner_text().split()
        == (
            f"{100 * shown['authorized'][0] / 256:.1f}% {shown['authorized'][0]} of 256, 95%:"
            f" {100 * low:.0f}–{100 * high:.0f}"
        ).split()
    )

    page.locator("#pg-draw-key").click()
    wait(page)
    assert torch.equal(as_transform(page.evaluate("playground.key()")).delta, guess[1].key)
    page.locator("#pg-sigma").fill("0.23")
    page.locator("#pg-p").fill("0.35")
    page.locator("#pg-seed").fill("12")
    page.locator("#pg-draw").fill("3")
    page.locator("#pg-draw").press("Enter")
    shown = wait(page)
    key = as_transform(page.evaluate("playground.key()"))
    assert torch.equal(
        key.delta,
        ap.attacks.input_only(net, TEST.images[:2], 0.23, 0.35, draws=4, seed=12).transforms[3].key,
    )
    assert near(shown["yours"], count(net, key))

    page.locator("#pg-network").select_option("generator")
    page.wait_for_function("playground.shown().network === 'generator'")
    net, owner = trained("generator")
    shown = wait(page)
    assert near(shown["authorized"], count(net, owner)) and near(shown["unauthorized"], count(net))
    record = ap.records("fashion_mnist", "resnet20", "generator", SHIPPED["size"])[0]
    assert (
        f"authorized {record['came_out']['test']['authorized']['accuracy']:.1%}"
        in page.locator("#pg-record").inner_text()
    )
    assert page.problems == []

    times = [page.evaluate(FIRST_64, sigma) for sigma in (0.1, 0.11, 0.12)]
    moved, alone = (min(each[what] for each in times) for what in ("moved", "alone"))
    assert moved < 2.5 * alone + 300, "a move waits for the network, and for little else"


def test_twenty_tries_can_be_stopped_and_forgotten(play):
    page = play()
    page.locator("#pg-twenty").click()
    page.wait_for_function("playground.shown().tries.length >= 3")
    page.locator("#pg-stop").click()
    page.locator("#pg-stop[aria-disabled=true]").wait_for()
    assert page.evaluate("document.activeElement.id") == "pg-stop", (
        "the focus is where the reader left it"
    )
    tries = wait(page)["tries"]
    said = page.locator("#pg-tries").inner_text()
    assert (
        3 <= len(tries) < 20
        and f"σ = {SIGMA}, p = {P}: {len(tries)} keys tried on 256 images each" in said
    )
    assert f"mean {100 * np.mean(tries):.1f}%, best so far {100 * max(tries):.1f}%" in said
    assert said in page.locator("#pg-histogram").get_attribute("aria-label")
    page.locator("#pg-sigma").fill("0.3")
    louder = wait(page)["tries"]
    assert len(louder) == len(tries) + 1
    assert (
        page.locator("#pg-tries")
        .inner_text()
        .startswith(f"σ = 0.3, p = {P}: 1 key tried on 256 images each")
    )
    rows = [row.split("\t") for row in page.locator("#pg-groups tbody").inner_text().split("\n")]
    assert [row[:2] for row in rows] == [
        [f"σ = {SIGMA}, p = {P}", str(len(tries))],
        [f"σ = 0.3, p = {P}", "1"],
    ]
    page.locator("#pg-forget").click()
    assert page.locator("#pg-tries").inner_text() == "No key tried on this network yet."
    assert page.locator("#pg-groups").is_hidden()


# ---- the thief's tools

def test_the_thiefs_tools_are_those_of_the_package(play):
    page = play()
    net, owner = trained("fixed")
    page.locator("#pg-clear").click()
    page.locator("#pg-brightness").fill("-0.1")
    shown = wait(page)
    darker = ap.attacks.brightness(net, TEST.images, [-0.1])
    assert near(shown["yours"], count(net, darker.transforms[0]))
    assert shown["scores"][-1] == pytest.approx(darker.scores[0], abs=1e-3)
    assert f"thief's score {darker.scores[0]:.2f}" in page.locator("#pg-yours").inner_text()

    page.locator("#pg-clear").click()
    wait(page)
    few = TEST[:32]
    page.locator("#pg-epsilon").fill("4")
    page.locator("#pg-attack").click()
    for method, options in (("fgsm", {}), ("pgd", {"steps": 10, "random_start": False})):
        page.locator("#pg-method").select_option(method)
        page.locator("#pg-attack-state").filter(
            has_text=f"answered correctly after {method.upper()} with ε = 4/255").wait_for()
        adversarial = getattr(ap, method)(net, few.images, few.labels, 4 / 255, **options)
        expected = round(32 * ap.accuracy(net, ap.Split(adversarial, few.labels, few.indices)))
        said = page.locator("#pg-attack-state").inner_text()
        assert abs(int(said.split(": ")[1].split()[0]) - expected) <= 1, (method, said, expected)

    page.locator("#pg-pair").click()
    shown = wait(page)
    taken = as_transform(page.evaluate("playground.key()"))
    assert torch.allclose(taken.delta, owner.key, atol=1e-6)
    assert near(shown["yours"], count(net, owner))
    page.locator("#pg-forget").click()

    torch.manual_seed(0)
    delta = (0.03 * torch.randn(1, 28, 28)).double().requires_grad_(True)
    found = page.evaluate(
        "delta => playground.gradient('fixed', [...Array(32).keys()], delta)",
        delta.flatten().tolist(),
    )
    exact = trained("fixed")[0].double()  # which float32 comes near, but for a ReLU here or there
    score = ap.attacks.information(exact(TEST.images[:32].double() + delta))
    expected = torch.autograd.grad(score, [delta])[0].flatten()
    assert found["score"] == pytest.approx(score.item(), abs=1e-4)
    assert (torch.tensor(found["gradient"]) - expected).norm() < 0.02 * expected.norm()

    page.evaluate("playground.CLIMB.batch = 32")
    page.locator("#pg-climb").click()
    page.locator("#pg-stop[aria-disabled=true]").wait_for(timeout=300_000)
    shown = wait(page)
    climbed = as_transform(page.evaluate("playground.key()"))
    record = ap.records("fashion_mnist", "resnet20", "fixed", SHIPPED["size"], attacks=True)[0]
    recorded = record["came_out"]["climb"]
    assert shown["yours"][0] / 256 > min(recorded["accuracies"]) - 0.1, "as far as a climb there"
    assert near(shown["yours"], count(net, climbed))
    assert page.locator("#pg-climb-state").inner_text().startswith("20 steps: the score went from")
    assert "climbing: 1 key tried on 256 images each" in page.locator("#pg-tries").inner_text()

    page.locator("#pg-draw-key").click()
    guess = wait(page)["yours"]
    page.locator("#pg-use-pick").click()
    assert wait(page)["yours"] == shown["yours"] != guess, "the climb has the highest score"
    assert page.problems == []


def test_missions_the_inside_and_what_can_be_taken_away(play, tmp_path):
    page = play("?network=mended&sigma=0.05&seed=3&key=2&brightness=0.025")
    net, owner = trained("mended")
    guesses = ap.attacks.input_only(net, TEST.images[:2], 0.05, P, draws=3, seed=3)
    key = as_transform(page.evaluate("playground.key()"))
    assert wait(page)["network"] == "mended"
    assert torch.allclose(key.delta, guesses.transforms[2].key + 0.025, atol=1e-6)

    page.locator("#pg-look").click()
    page.locator("#pg-layer").select_option("stage 2")
    first = TEST.images[:1]
    with torch.no_grad():
        maps = [net.stage2(net.stage1(torch.relu(net.bn(net.conv(net.normalize(each))))))
                for each in (first, owner(first), key(first))]
        ours, yours = ((each - maps[0]).norm() / maps[0].norm() for each in maps[1:])
    page.locator("#pg-inside-state").filter(has_text=(
        f"32 maps of 14×14 pixels, for the first image above (ankle boot). The maps of the "
        f"processed image differ from the raw ones by {100 * ours:.0f}%, those with your key by "
        f"{100 * yours:.0f}%."
    )).wait_for()

    with page.expect_download() as download:
        page.locator("#pg-save").click()
    download.value.save_as(tmp_path / "saved.png")
    picture = np.asarray(Image.open(tmp_path / "saved.png").convert("L"))
    tile = picture[88:200, 14:126][2::4, 2::4]  # of the first image: each pixel is four wide
    assert np.abs(tile - 255 * first[0, 0].numpy()).max() <= 1

    page.locator("#pg-missions details").nth(5).locator("summary").click()
    says = page.get_by_role("button", name="The key on the grid is the owner's")
    for letter in "ABC":
        page.get_by_role("button", name=f"Put key {letter} on the grid").click()
        right = wait(page)["yours"]
        says.click()
        if near(right, count(net, owner)):
            break
        page.locator("#pg-missions").get_by_text(f"No, key {letter} is another one's.").wait_for()
    said = page.locator("#pg-mission-said").inner_text()
    assert said == "Mission done: “Which key is the owner's?”."
    assert page.evaluate("localStorage.getItem('playground-missions')") == '["owner"]'
    assert "1 of 7 missions done" in page.locator("#pg-missions-done").inner_text()

    lock = page.locator("#pg-missions > li").last
    lock.locator("summary").click()
    lock.get_by_role("button", name="Set it up").click()
    page.wait_for_function("playground.shown().network === 'baseline'")
    for slider in ("#pg-sigma", "#pg-p"):
        page.locator(slider).fill(page.locator(slider).get_attribute("max"))
    for _ in range(3):  # the hint says what to do if a key does not do
        shown = wait(page)["yours"]
        if "Lock it yourself" in page.locator("#pg-mission-said").inner_text():
            break
        page.locator("#pg-draw-key").click()
    key = re.escape(f"{100 * shown[0] / 256:.1f}% of the images are right.")
    said = page.locator("#pg-mission-said").inner_text()
    assert re.fullmatch(rf"Mission done: “Lock it yourself”. With key \d of seed 3, {key}", said)
    page.locator("#pg-network").select_option("mended")
    page.wait_for_function("playground.shown().network === 'mended'")
    wait(page)

    page.locator("#pg-blind").check()
    page.locator("#pg-draw-key").click()
    wait(page)
    told = page.locator(".bd-article").inner_text()
    assert "hidden" in page.locator("#pg-yours").inner_text() and "score" in told
    assert "✓" not in page.locator("#pg-gallery").inner_text()
    assert "ankle boot" not in page.locator("#pg-gallery .pg-true").all_inner_texts()
    assert page.problems == []


# ---- by hand

def test_a_key_and_a_picture_drawn_by_hand_an_upload_and_an_own_network(play, tmp_path):
    page = play()
    pixels = lambda: np.array(page.evaluate("playground.key()")).reshape(28, 28)  # noqa: E731
    page.locator("#pg-clear").click()
    assert not pixels().any()
    grid = page.locator("#pg-key canvas")
    grid.scroll_into_view_if_needed()
    page.evaluate("document.querySelector('#pg-key').scrollIntoView({block: 'center'})")
    area = grid.bounding_box()

    def at(row, column):
        return (
            area["x"] + (column + 0.5) * area["width"] / 28,
            area["y"] + (row + 0.5) * area["height"] / 28,
        )

    page.mouse.move(*at(20, 4))
    page.mouse.down()
    page.mouse.move(*at(20, 12))
    page.mouse.up()
    page.get_by_label("−σ", exact=True).check()
    page.mouse.click(*at(22, 4))
    expected = np.zeros((28, 28))
    expected[20, 4:13], expected[22, 4] = SIGMA, -SIGMA
    assert np.allclose(pixels(), expected)
    grid.focus()
    for press in ("ArrowDown", "ArrowRight", "+", "ArrowRight", "-", "ArrowRight", "Space"):
        page.keyboard.press(press)
    assert page.locator("#pg-key .pg-where").inner_text() == "row 24, column 8: −σ"
    expected[23, 5:8] = SIGMA, -SIGMA, -SIGMA
    page.keyboard.press("0")
    expected[23, 7] = 0
    assert np.allclose(pixels(), expected)
    shown = wait(page)
    assert near(
        shown["yours"], count(trained("fixed")[0], as_transform(pixels().flatten().tolist()))
    )
    assert page.locator("#pg-tries").inner_text().startswith(f"σ = {SIGMA}, by hand: "), (
        "keys drawn by hand count, by themselves"
    )
    assert shown["yours"][0] / 256 in shown["tries"]

    canvas = page.locator("#pg-picture canvas").first
    canvas.focus()
    page.keyboard.press("2")
    assert page.locator("#pg-picture .pg-where").inner_text() == "row 1, column 1: gray"
    picture = tmp_path / "picture.png"
    Image.fromarray((TEST.images[7, 0] * 255).byte().numpy()).save(picture)
    page.locator("#pg-upload").set_input_files(picture)
    net, owner = trained("fixed")
    for tile, transform in enumerate((None, owner)):
        logits = ap.predict(net, TEST.images[7:8], transform)[0]
        answer = ap.load("fashion_mnist").classes[logits.argmax()]
        expected = f"{answer}\n{100 * logits.softmax(0).max():.0f}%"
        page.wait_for_function(
            "([tile, text]) => document.querySelectorAll('#pg-picture-answers"
            " .pg-answer')[tile].textContent === text",
            arg=[tile, expected],
        )
    (tmp_path / "no.png").write_text("no picture")
    page.locator("#pg-upload").set_input_files(tmp_path / "no.png")
    page.locator("#pg-upload-problem").filter(
        has_text="“no.png” could not be read as a picture"
    ).wait_for()

    net, owner = ap.SimpleCNN().eval(), ap.Generator(1, seed=3)
    page.locator("#pg-own").set_input_files(
        ap.export.to_onnx(net, owner, tmp_path / "mine.onnx", (1, 28, 28))
    )
    page.wait_for_function("playground.shown().network === 'own: mine.onnx'")
    shown = wait(page)
    assert near(shown["authorized"], count(net, owner)) and near(shown["unauthorized"], count(net))
    assert page.problems == []
    for file, message in (
        ("color", "it takes images of 3×28×28, and those of this page are 1×28×28"),
        ("broken", "does not fit this page"),
    ):
        path = tmp_path / f"{file}.onnx"
        path.write_bytes(b"broken") if file == "broken" else ap.export.to_onnx(
            ap.SimpleCNN(3), None, path, (3, 28, 28)
        )
        page.locator("#pg-own").set_input_files(path)
        page.locator("#pg-own-problem").filter(has_text=message).filter(has_text=path.name).wait_for()
    assert page.evaluate("playground.shown().network") == "own: mine.onnx"


# ---- everybody's page

def test_a_finger_draws_on_a_phone(play):
    page = play(viewport={"width": 390, "height": 800}, has_touch=True)
    page.locator("#pg-clear").click()
    page.evaluate("document.querySelector('#pg-key').scrollIntoView({block: 'center'})")
    area = page.locator("#pg-key canvas").bounding_box()
    page.touchscreen.tap(
        area["x"] + 9.5 * area["width"] / 28, area["y"] + 18.5 * area["height"] / 28
    )
    pixels = np.array(page.evaluate("playground.key()")).reshape(28, 28)
    assert pixels[18, 9] == pytest.approx(SIGMA) and np.count_nonzero(pixels) == 1
    page.locator("#pg-network").select_option("learned")
    page.wait_for_function("playground.shown().network === 'learned'")
    assert wait(page)["yours"][1] == 256 and page.problems == []


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_it_fits_the_screen_and_axe_finds_nothing(width, play):
    page = play(
        viewport={"width": width, "height": 800},
        reduced_motion="reduce",
        has_touch=width < 400,
    )
    page.evaluate("""() => {
        for (const each of document.querySelectorAll("#pg-missions details")) each.open = true;
        const shy = ".bd-article [data-pg] [hidden]:not([role=alert])"; // until a button is pressed
        for (const each of document.querySelectorAll(shy)) each.hidden = false;
    }""")
    for theme in ("light", "dark"):
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if not AXE.is_file():
            pytest.skip("axe-core is not there: run `python tools/vendor.py`")
        assert violations(page) == [], theme
    page.evaluate("document.querySelector('#pg-sigma').scrollIntoView({block: 'center'})")
    page.mouse.wheel(0, page.locator("#pg-sigma").bounding_box()["y"] - 280)
    slider, card = (page.locator(each).first.bounding_box() for each in ("#pg-sigma", ".pg-card"))
    board = page.locator(".pg-board").bounding_box()
    assert card["y"] + card["height"] - slider["y"] < 800 - board["y"] - board["height"], (
        "σ and the pictures that it changes are on one screen, below the board"
    )


def test_it_can_be_used_by_keyboard_alone(open_page):
    page = open_page(PAGE)
    page.locator("#pg-load").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement?.id === 'pg-network'")
    wait(page)
    reached = []
    for _ in range(70):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.id || document.activeElement.closest('.pg-grid')?.id"
            )
        )
        if reached[-1] == "pg-own":
            break
        if reached[-1] == "pg-sigma":
            page.keyboard.press("ArrowRight")
            assert page.locator("#pg-sigma-value").inner_text() == f"{SIGMA + 0.005:.3f}"
        visible = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert visible != "none" or not str(reached[-1]).startswith("pg-"), (
            f"the focus on {reached[-1]} is not seen"
        )
    order = [each for each in reached if str(each).startswith("pg-")]
    assert [
        each
        for each in (
            "pg-sigma",
            "pg-brightness",
            "pg-others",
            "pg-link",
            "pg-save",
            "pg-key",
            "pg-p",
            "pg-seed",
            "pg-draw",
            "pg-draw-key",
            "pg-clear",
            "pg-twenty",
            "pg-shifts",
            "pg-climb",
            "pg-pair",
            "pg-stop",
            "pg-blind",
            "pg-use-pick",
            "pg-forget",
            "pg-look",
            "pg-layer",
            "pg-attack",
            "pg-method",
            "pg-epsilon",
            "pg-missions-again",
            "pg-picture",
            "pg-upload",
            "pg-invert",
            "pg-picture-clear",
            "pg-own",
        )
        if each not in order
    ] == []
    assert page.problems == []


# ---- what can go wrong

def test_nothing_is_downloaded_before_the_reader_asks(open_page):
    page = open_page(PAGE)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload(wait_until="networkidle")
    assert page.locator("#pg-load").is_enabled() and page.locator("#pg-gallery").is_hidden()
    assert [url for url in asked if url.endswith((".onnx", ".wasm", ".bin"))] == []
    first = next(network for network in SHIPPED["networks"] if network["name"] == "fixed")
    total = sum(
        file["compressed"] for file in (first, SHIPPED["images"], *SHIPPED["engine"].values())
    )
    assert total <= 5_000_000 and f"{total / 1e6:.1f} MB" in page.locator(".pg-offer").inner_text()


def test_as_a_file_it_says_how_to_serve_it_and_shows_what_is_recorded(browser, book_url):
    page = browser.new_page()
    page.goto((BUILT / PAGE).as_uri())
    assert (
        "make serve" in page.locator("#pg-problem").inner_text()
        and page.locator("#pg-load").is_hidden()
    )
    rows = page.locator(".playground-records tbody tr")
    assert rows.count() == 5
    record = ap.records("fashion_mnist", "resnet20", "fixed", SHIPPED["size"])[0]["came_out"][
        "test"
    ]
    for what in ("authorized", "unauthorized"):
        assert f"{100 * record[what]['accuracy']:.1f}" in rows.nth(1).inner_text()
    page.close()


def test_without_webassembly_it_says_so(open_page):
    page = open_page(PAGE)
    page.add_init_script("delete window.WebAssembly")
    page.reload()
    assert "does not run WebAssembly" in page.locator("#pg-problem").inner_text()


def test_a_download_that_failed_can_be_tried_again(open_page):
    page = open_page(PAGE)
    page.route("**/*.bin", lambda route: route.fulfill(status=404))
    page.locator("#pg-load").click()
    page.locator("#pg-problem").filter(
        has_text="images.bin could not be fetched: the server says 404"
    ).wait_for()
    page.unroute("**/*.bin")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_function("window.playground")
    wait(page)
    page.route("**/learned.onnx", lambda route: route.abort())
    page.locator("#pg-network").select_option("learned")
    page.locator("#pg-failed").filter(
        has_text="The network “Learned perturbation” could not be loaded"
    ).wait_for()
    assert page.evaluate("playground.shown().network") == "fixed"
    page.unroute("**/learned.onnx")
    page.locator("#pg-failed").get_by_role("button", name="Try again").click()
    page.wait_for_function("playground.shown().network === 'learned'")
    assert page.locator("#pg-failed").is_hidden()


@pytest.fixture
def own_file(play):
    """A page, and a function that gives it a reader's network: (name, what make_network takes)."""
    page = play()

    def give(name, **options):
        page.locator("#pg-own").set_input_files(
            {"name": name, "mimeType": "", "buffer": make_network(**options)}
        )

    return page, give


def make_network(classes=10, batch="n", kind="float32", factor=1.0, steps=None, answer=None):
    """An ONNX file: logits from 784 fixed weights for each class, times a factor.

    Processed images are the raw ones. kind: the type of the logits. steps: how often a loop adds
    nothing to them. answer: the class that always wins.
    """
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    tensor = helper.make_tensor_value_info
    weights = np.zeros((784, classes), np.float32)
    bias = np.zeros(classes, np.float32)
    if answer is not None:
        bias[answer] = 5
    constants = {"weights": weights, "bias": bias, "factor": np.float32(factor)}
    nodes = [
        helper.make_node("Flatten", ["images"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
        helper.make_node("Add", ["scores", "bias"], ["shifted"]),
        helper.make_node("Mul", ["shifted", "factor"], ["scaled"]),
    ]
    if steps:
        constants |= {"steps": np.int64(steps), "go_on": np.bool_(True)}
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["on"], ["still_on"]),
                helper.make_node("Sin", ["old"], ["new"]),
            ],
            "body",
            [
                tensor("i", types.INT64, []),
                tensor("on", types.BOOL, []),
                tensor("old", types.FLOAT, None),
            ],
            [tensor("still_on", types.BOOL, []), tensor("new", types.FLOAT, None)],
        )
        nodes.append(helper.make_node("Loop", ["steps", "go_on", "scaled"], ["looped"], body=body))
    last = "looped" if steps else "scaled"
    to = {"float32": types.FLOAT, "int64": types.INT64}[kind]
    nodes += [
        helper.make_node("Cast", [last], ["logits"], to=to),
        helper.make_node("Identity", ["images"], ["processed"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [tensor("images", types.FLOAT, [batch, 1, 28, 28]), tensor("authorized", types.FLOAT, [])],
        [tensor("logits", to, None), tensor("processed", types.FLOAT, [batch, 1, 28, 28])],
        [
            onnx.numpy_helper.from_array(np.asarray(value), name)
            for name, value in constants.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


UNFIT = [
    ({"classes": 3}, "it tells 3 classes apart, and the images of this page have 10"),
    ({"classes": 100}, "it tells 100 classes apart, and the images of this page have 10"),
    ({"kind": "int64"}, "its logits are of type int64, and must be float32"),
    ({"batch": 1}, "it takes exactly 1 image at a time"),
    ({"factor": np.nan}, "its logits hold values that are not numbers (NaN or infinite)"),
    ({"steps": 2 ** 62}, "it did not answer within 2 seconds, and was stopped"),
]


def test_networks_that_do_not_fit_are_refused_and_the_page_goes_on(own_file):
    page, give = own_file
    before = page.evaluate("playground.shown()")
    page.evaluate("playground.LIMIT.own = 2000")
    for options, reason in UNFIT:
        give("mine.onnx", **options)
        page.locator("#pg-own-problem").filter(
            has_text=f"“mine.onnx” does not fit this page: {reason}"
        ).wait_for()
        assert (
            page.evaluate("playground.shown()") == before
            and page.locator("#pg-network option").count() == 5
        )
    page.locator("#pg-draw-key").click()
    shown = wait(page)
    assert shown["yours"][1] == 256 and len(shown["tries"]) == len(before["tries"]) + 1
    assert page.locator("#pg-failed").is_hidden() and page.problems == []


def test_a_loop_that_ends_the_worker_does_not_end_what_was_under_way(own_file):
    page, give = own_file
    page.evaluate("playground.LIMIT.own = 1000")
    give("endless.onnx", steps=2 ** 62)
    page.locator("#pg-draw-key").click()  # asked while the worker is busy with the loop
    page.locator("#pg-own-problem").filter(has_text="was stopped").wait_for()
    assert wait(page)["yours"][1] == 256 and page.locator("#pg-failed").is_hidden()


def test_files_of_one_name_are_networks_of_their_own(own_file):
    page, give = own_file
    for answer, name in ((0, "own: mine.onnx"), (3, "own: mine.onnx (2)")):
        give("mine.onnx", answer=answer)
        page.wait_for_function("name => playground.shown().network === name", arg=name)
        assert wait(page)["unauthorized"][0] == int((TEST.labels == answer).sum())
    page.locator("#pg-own").set_input_files(
        {"name": "mine.onnx", "mimeType": "", "buffer": b"damaged"}
    )
    page.locator("#pg-own-problem").filter(
        has_text="“mine.onnx” does not fit this page: it is no ONNX file, or a damaged one"
    ).wait_for()
    for answer, name in ((0, "own: mine.onnx"), (3, "own: mine.onnx (2)")):  # both are still there
        page.locator("#pg-network").select_option(name)
        page.wait_for_function("name => playground.shown().network === name", arg=name)
        page.locator("#pg-draw-key").click()
        assert wait(page)["yours"] == [int((TEST.labels == answer).sum()), 256]
    assert page.locator("#pg-failed").is_hidden()


def test_a_picture_of_one_name_can_be_uploaded_again(play, tmp_path):
    page = play()
    for value in (255, 0):  # the first picture on the page is black there: white tells of a change
        Image.fromarray(np.full((28, 28), value, np.uint8)).save(tmp_path / "picture.png")
        page.locator("#pg-upload").set_input_files(tmp_path / "picture.png")
        assert page.locator("#pg-upload").input_value() == "", (
            "the input would tell of no change when it is given the same name"
        )
        page.wait_for_function(
            "value => document.querySelector('#pg-picture canvas').getContext('2d')"
            ".getImageData(5, 5, 1, 1).data[0] === value",
            arg=value,
        )


def test_logits_that_become_nan_are_no_accuracy(own_file):
    page, give = own_file
    give("mine.onnx", answer=0)
    page.wait_for_function("playground.shown().network === 'own: mine.onnx'")
    tried = wait(page)["tries"]
    # NaN after the trial, as with a network that only some keys break
    page.evaluate("""async () => {
        const { store } = await import("../playground/store.js");
        const run = store.engine.run.bind(store.engine);
        store.engine.run = async (...asked) => {
            const result = await run(...asked);
            return { ...result, logits: result.logits.fill(NaN) };
        };
    }""")
    page.locator("#pg-draw-key").click()
    assert wait(page)["yours"] == [0, 256]
    assert page.locator("#pg-yours").inner_text().split("\n") == [
        "unknown",
        "256 of 256 answers are not numbers (NaN or infinite)",
    ]
    assert (
        page.locator("#pg-gallery .pg-tile:nth-child(4) .pg-answer").first.inner_text()
        == "not a number"
    )
    assert page.evaluate("playground.shown().tries") == tried, "it is no try"


def test_the_focus_is_not_stolen_from_a_reader_who_went_elsewhere(open_page):
    page = open_page(PAGE)
    page.locator("#pg-load").click()
    page.evaluate("document.querySelector('.bd-article a.reference').focus()")
    page.wait_for_function("window.playground")
    wait(page)
    assert page.evaluate("document.activeElement.matches('.bd-article a.reference')")


@pytest.mark.parametrize(
    "suffix, kind, said",
    [
        (".wasm", "application/octet-stream", None),
        (".mjs", "application/octet-stream", "ort.wasm.min.mjs as application/octet-stream"),
        (".js", "text/plain", "playground.js as text/plain"),
    ],
)
def test_a_server_with_wrong_types_is_named_as_the_cause(browser, book_url, suffix, kind, said):
    from serve import Handler

    class Wrong(Handler):
        extensions_map = {**Handler.extensions_map, suffix: kind}

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Wrong, directory=BUILT)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/{PAGE}")
        page.locator("#pg-load").click()
        if said:
            page.locator("#pg-problem").filter(has_text=said).wait_for()
            assert "MIME type of .js and .mjs" in page.locator("#pg-problem").inner_text()
            assert page.evaluate("document.activeElement.id") == "pg-load"
        else:
            page.wait_for_function("window.playground")
        page.close()
        server.shutdown()
