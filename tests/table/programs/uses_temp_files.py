import os
import tempfile

with tempfile.TemporaryDirectory() as folder:
    with open(os.path.join(folder, "x"), "w") as inside:
        inside.write("abc")
with tempfile.NamedTemporaryFile() as named:
    named.write(b"abc")
with open("here", "w+") as here:
    here.write("in the work directory\n")
    here.seek(0)
    print(here.read(), end="")
