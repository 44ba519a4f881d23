"""The scripts that run inside Redis, each all or nothing, and the keys they share with the rest.

A script that fails half-way leaves half of its work. So each finds out what could stop it before it writes: whether it
may use the commands it needs, and who asks. Refusals for want of memory, of a disk or of a master come before the
first line.

What is no result is an error with a first word of ours: OUTDATED, BEHIND, UNKNOWN.
"""

from chatmail.server.stores.redis.line import Script

LOG = "{chatmail}:log"
"""The stream. Fields of an item: ``n`` the server and the number of its batch, ``e`` the entry, ``r`` the rows, ``c``
the claims."""
HOUSE = "{chatmail}:house"
"""A hash. ``format``, ``epoch``, ``secret``, ``motd``, ``leader``; ``last``: the last entry's number; ``at``: the last
item's id, and ``by`` its ``n``; ``trimmed``: the last entry that went; ``pruned``: up to this id items may be missing;
``nodes``: how many servers there were."""
ACCOUNT, BAN, MAIL, LETTER = "{chatmail}:account", "{chatmail}:ban", "{chatmail}:mail", "{chatmail}:letter"
FAILURE, ARRIVAL = "{chatmail}:failure", "{chatmail}:arrival"
"""Hashes of records by their keys. In ``account``, ``ID:FIELD`` is what changed of one since it was written."""
AUDIT = "{chatmail}:audit"
"""A list, the newest last."""
SAID = "{chatmail}:said"
"""A hash: ``AUTHOR:ID``, and the number of what was said under it."""
DIRECTS = "{chatmail}:directs"
"""Sorted set of the numbers of all direct messages; with ``:ACCOUNT``, of those from or to an account."""
NODES = "{chatmail}:nodes"
"""A hash: the servers, and how often each has shown that it lives."""

CLAIMS_MAX = 1_000
"""So many items are looked at for claims, at most, while all others wait."""
NEWS_MAX = 500
"""So many items come with the answer to a commit, at most."""
QUIET_TIME = 600
"""An item without entry is kept for so many seconds: who is further behind has to open the store anew."""
TIDY_MAX = 300
"""So much of each kind goes at a time, at most."""

FORMAT = 2

_COMMON = """
local P = '{chatmail}:'
local LOG, HOUSE, NODES, BATCHES = P .. 'log', P .. 'house', P .. 'nodes', P .. 'batches'
local SAID, DIRECTS, QUIET, ENDS = P .. 'said', P .. 'directs', P .. 'quiet', P .. 'ends'
local call = redis.call

local function precedes(a, b)  -- whether an id of the stream is lower than another
  if a == b then return false end
  local m, k = string.match(a, '(%d+)-(%d+)')
  local n, l = string.match(b, '(%d+)-(%d+)')
  m, n = tonumber(m), tonumber(n)
  return m < n or (m == n and tonumber(k) < tonumber(l))
end

local function unable()  -- what this user may not do of what writing takes
  local commands = {
    {'XADD', LOG, '*', 'f', 'v'}, {'XRANGE', LOG, '-', '+'}, {'XTRIM', LOG, 'MINID', 0}, {'XDEL', LOG, '1-1'},
    {'HSET', HOUSE, 'f', 'v'}, {'HSETNX', SAID, 'f', 'v'}, {'HDEL', NODES, 'f'}, {'HINCRBY', NODES, 'f', 1},
    {'ZADD', QUIET, 0, 'm'}, {'ZREM', ENDS, 'm'}, {'RPUSH', P .. 'audit', 'v'}, {'LTRIM', P .. 'audit', 0, 1}, {'TIME'}}
  for _, command in ipairs(commands) do
    if not redis.acl_check_cmd(unpack(command)) then
      return redis.error_reply('NOPERM this user may not ' .. command[1])
    end
  end
end
"""

_ALIVE = """
local node, epoch, place, by, fresh = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local house = call('HMGET', HOUSE, 'epoch', 'last', 'at', 'pruned', 'by')
if house[1] ~= epoch then return redis.error_reply('OUTDATED epoch') end
if call('HEXISTS', NODES, node) == 0 then return redis.error_reply('OUTDATED node') end

local function is_lost()  -- whether what this server saw last is not there, or is another item by now
  if place == house[3] then return by ~= house[5] end
  local item = call('XRANGE', LOG, place, place)[1]
  if item then return by ~= item[2][2] end
  return precedes(house[4], place)
end
if is_lost() then  -- numbers are about to be used again, or were
  call('HSET', HOUSE, 'epoch', fresh)
  return redis.error_reply('OUTDATED lost')
end
"""

BEGIN = Script(
    f"""#!lua
{_COMMON}
local epoch, secret, host = ARGV[1], ARGV[2], ARGV[3]
local cannot = unable()
if cannot then return cannot end
if call('EXISTS', HOUSE) == 0 then
  call('HSET', HOUSE, 'format', {FORMAT}, 'epoch', epoch, 'secret', secret, 'motd', '', 'leader', '',
    'last', 0, 'at', '0-0', 'by', '', 'pruned', '0-0', 'trimmed', 0, 'nodes', 0)
end
local format = call('HGET', HOUSE, 'format') or '?'
if format ~= '{FORMAT}' then return redis.error_reply('UNKNOWN ' .. format) end
local number = call('HINCRBY', HOUSE, 'nodes', 1)
call('HSET', NODES, host .. '-' .. number, 0)
return {{number, call('HGET', HOUSE, 'epoch')}}
"""
)
"""Makes the house if there is none, and takes a number for a server; the answer is that, and the epoch. Arguments: an
epoch and a secret for a new house, the name of the host."""

COMMIT = Script(
    f"""#!lua
{_COMMON}
{_ALIVE}
if precedes(place, house[4]) then return redis.error_reply('OUTDATED pruned') end
local number = tonumber(ARGV[6])
local done = call('HGET', BATCHES, node)
if done then
  local space = string.find(done, ' ', 1, true)
  local latest = tonumber(string.sub(done, 1, space - 1))
  if latest == number then return {{string.sub(done, space + 1), {{}}}} end
  if latest > number then return redis.error_reply('OUTDATED batch') end
end
local cannot = unable()
if cannot then return cannot end

local before, last = house[3], tonumber(house[2])
local batch, learned = cmsgpack.unpack(ARGV[7]), cmsgpack.unpack(ARGV[8])

local own = node .. ' '
local claimed = {{}}  -- what others have claimed since this was decided
for _, claim in ipairs(learned) do claimed[claim] = true end
for _, change in ipairs(batch) do
  if change[4] and place ~= before then
    local items = call('XRANGE', LOG, '(' .. place, '+', 'COUNT', {CLAIMS_MAX + 1})
    if #items > {CLAIMS_MAX} then return redis.error_reply('BEHIND ' .. before) end
    for _, item in ipairs(items) do
      local fields = item[2]
      for at = 1, #fields, 2 do
        if fields[at] == 'c' and string.sub(fields[2], 1, #own) ~= own then
          for _, claim in ipairs(cmsgpack.unpack(fields[at + 1])) do claimed[claim] = true end
        end
      end
    end
    break
  end
end

local function overtaken(claims)
  for _, claim in ipairs(claims) do
    if claimed[claim] then return true end
  end
end

local left = false
local function write(row)  -- a command with its key, or a word of ours
  local command, key = row[1], row[2]
  if command == 'MAIL' then
    call('HSET', P .. 'mail', last, key)
  elseif command == 'PATCH' then
    local field = key .. ':' .. row[3]
    local seen = row[3] == 'seen' and call('HGET', P .. 'account', field)
    local older = seen and tonumber(seen) > tonumber(row[4])
    if call('HEXISTS', P .. 'account', key) == 1 and not older then
      call('HSET', P .. 'account', field, row[4])
    end
  elseif command == 'LEAVE' then
    call('HDEL', NODES, key)
    call('HDEL', BATCHES, key)
    left = left or key == node
  else
    call(command, P .. key, unpack(row, 3))
  end
end

local function index(accounts)  -- a direct message, for those it is between
  call('ZADD', DIRECTS, last, last)
  for _, account in ipairs(accounts) do call('ZADD', DIRECTS .. ':' .. account, last, last) end
end

local first, at, odd = last + 1, before, {{}}
for nth, change in ipairs(batch) do
  local entry, key, accounts, claims, rows = unpack(change, 1, 5)
  if not entry and not rows then
    -- nothing to write
  elseif claims and overtaken(claims) then
    odd[#odd + 1] = {{nth - 1, 0, ''}}
  elseif key and call('HSETNX', SAID, key, last + 1) == 0 then
    local earlier = call('HGET', SAID, key)
    local item = call('XRANGE', LOG, earlier .. '-0', earlier .. '-0')[1]
    odd[#odd + 1] = {{nth - 1, tonumber(earlier), item[2][4]}}
  else
    local fields = {{'n', own .. ARGV[6]}}
    if entry then
      last = last + 1
      fields[3], fields[4] = 'e', entry
    end
    if rows then fields[#fields + 1], fields[#fields + 2] = 'r', rows end
    if claims then fields[#fields + 1], fields[#fields + 2] = 'c', cmsgpack.pack(claims) end
    at = call('XADD', LOG, last .. '-*', unpack(fields))
    if not entry then call('ZADD', QUIET, call('TIME')[1], at) end
    if accounts then index(accounts) end
    if rows then
      for _, row in ipairs(change[6]) do write(row) end
    end
  end
end
if at ~= before then call('HSET', HOUSE, 'last', last, 'at', at, 'by', own .. ARGV[6]) end
local reply = cmsgpack.pack({{before, at, first, odd}})
if not left then call('HSET', BATCHES, node, ARGV[6] .. ' ' .. reply) end
return {{reply, place == before and {{}} or call('XRANGE', LOG, '(' .. place, before, 'COUNT', {NEWS_MAX})}}
"""
)
"""Commits a batch. Arguments: the server, its epoch, the id of the last item it has taken in and the ``n`` of that, an
epoch for when it is lost; the number of the batch, the batch, claims it came to know of since it decided on it. The
answer: the id of the last item before, and now, the number of the first entry, what became of changes otherwise than
meant (see ``codec.Reply``); and the first of the items that others wrote before."""

BEAT = Script(
    f"""#!lua
{_COMMON}
{_ALIVE}
call('HINCRBY', NODES, node, 1)
return {{house[3], call('HGETALL', NODES)}}
"""
)
"""Counts a sign of life, where Redis takes what it is told; the answer: the id of the last item, and the signs of all.
Arguments: the first five of a commit."""

TIDY = Script(
    f"""#!lua flags=allow-oom
{_COMMON}
local epoch, now, entries = ARGV[1], ARGV[2], cmsgpack.unpack(ARGV[3])
local house = call('HMGET', HOUSE, 'epoch', 'trimmed', 'pruned')
if house[1] ~= epoch then return redis.error_reply('OUTDATED epoch') end
local cannot = unable()
if cannot then return cannot end
local trimmed, pruned = tonumber(house[2]), house[3]

local more = #entries > 0
for _, entry in ipairs(entries) do
  local number, key = entry[1], entry[2]
  if number > trimmed + 1 or call('HEXISTS', P .. 'mail', number) == 1 then
    more = false
    break
  elseif number == trimmed + 1 then
    if key then call('HDEL', SAID, key) end
    if entry[3] then
      call('ZREM', DIRECTS, number)
      for _, account in ipairs(entry[3]) do call('ZREM', DIRECTS .. ':' .. account, number) end
    end
    trimmed = number
  end
end
if trimmed > tonumber(house[2]) then
  -- Items without entry that came after the last of them may be of now.
  call('XTRIM', LOG, 'MINID', trimmed .. '-1')
  if precedes(pruned, trimmed .. '-0') then pruned = trimmed .. '-0' end
end

local quiet = call('ZRANGEBYSCORE', QUIET, '-inf', call('TIME')[1] - {QUIET_TIME}, 'LIMIT', 0, {TIDY_MAX})
if #quiet > 0 then
  for _, id in ipairs(quiet) do
    if precedes(pruned, id) then pruned = id end
  end
  call('XDEL', LOG, unpack(quiet))
  call('ZREM', QUIET, unpack(quiet))
end
call('HSET', HOUSE, 'trimmed', trimmed, 'pruned', pruned)

local ended = call('ZRANGEBYSCORE', ENDS, '-inf', '(' .. now, 'LIMIT', 0, {TIDY_MAX})
for _, name in ipairs(ended) do
  local kind, key = string.match(name, '^(%a+):(.*)$')
  call('HDEL', P .. kind, key)
end
if #ended > 0 then call('ZREM', ENDS, unpack(ended)) end

local failures = call('HGETALL', P .. 'failure')
for at = 1, #failures, 2 do
  local author = string.format('%.0f', cjson.decode(failures[at + 1]).author)
  if call('HEXISTS', P .. 'account', author) == 0 then call('HDEL', P .. 'failure', failures[at]) end
end
return {{trimmed, (more or #quiet == {TIDY_MAX} or #ended == {TIDY_MAX}) and 1 or 0}}
"""
)
"""Lets go of what is kept no longer. Arguments: the epoch; the time; the entries that are old enough, in order, each
with its key in ``said`` and the accounts it is between. The answer: the number of the last that ever went, and
whether there may be more to do."""
