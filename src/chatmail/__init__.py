"""chatmail: a chat that a team starts with one command, whose direct messages reach people by email.

One idea carries the server: a **journal** of encoded frames, numbered 1, 2, 3 …, and everyone a **cursor** into it. A
message is encoded once; once a tick, each session gets what lies after its cursor in one write, and all who are
in step get the same bytes. History, resuming, slow readers and messages for people who are not there are all just
cursors that stand further back.

    client ── frames ──> server.session ──> core.hub ──submit──> server.engine ──> server.stores
                              ^                │                       │
                              └───── bytes ────┴── core.journal <──committed
                                               └── core.mailroom ──> server.postman ──> SMTP, or outbox/

Where to start reading:

- ``core`` is pure: no sockets, no files, no clock. ``wire`` (what crosses a connection), then ``journal``, then
  ``hub`` with its parts: ``door`` and ``entrance`` (coming in), ``people`` (who is here), ``talk`` (saying things),
  ``fanout`` (one write for all), ``mailroom`` with ``digest`` (which message becomes which mail, when) and ``failures``
  (of which authors are told), ``operator``; ``effects`` and ``unstored`` (what a change does once it is in the store,
  or is not), and ``cluster`` (the other servers, where several share a store).
- ``server`` puts I/O around it: ``app`` wires the parts together, ``engine`` drives the hub, ``session`` is one
  connection, ``stores`` keep everything (``database``, with ``said`` and ``lookups``; ``redis``, which servers share:
  each follows one stream of what all commit), ``tls`` has the certificate,
  ``postman`` sends mail (``letters`` composes it, ``mailers`` and ``transaction`` hand it over), ``console`` is the
  operator's prompt (``desk`` answers, ``log`` keeps), ``checkmail`` tries the mail account.
- ``client``: ``app`` with ``options`` and ``config`` (what was chosen), ``connection`` (join, resume, reconnect),
  with ``dial`` and ``trust`` (TLS, and whom to believe) and ``tokens`` (the proof that is kept), ``timeline`` (what
  has been seen), ``lookback`` (what was said before), ``screen`` and ``entry`` (how it looks), ``reading`` with
  ``presence`` (in which order, and what is new), ``view`` (above the input line), ``prompt`` and ``plain`` (with a
  terminal, and without), ``draft`` (the line that is typed), ``script`` and ``frames`` (what scripts want).
- ``terminal`` is what both programs do at a terminal, or without one: ``text`` (making foreign text harmless),
  ``display`` (lines above the prompt), ``editor`` (somebody's own). ``files`` has where a user's files are, and how one
  is written whole.

``core`` imports nothing of ours, ``terminal`` nothing but ``core`` and ``files``; ``server`` and ``client`` import all
three, and never each other.
"""

__version__ = "0.1.0"
