-- wrk script: sends many different bodies in turn, counts failures, prints one JSON line.
-- Arguments: PATH BODIES [KEY], one body a line; KEY is sent as a bearer token. Every server gets
-- the same bodies in the same order, whichever of its connections is free.
-- BODIES that end in ".list" are of any bytes: a line is a file with one body, and its headers,
-- each "Name: value", apart by tabs.
local requests, turn = {}, 0

local function read_file(line)
  local parts = {}
  for part in line:gmatch("[^\t]+") do parts[#parts + 1] = part end
  local headers = {}
  for place = 2, #parts do
    local name, value = parts[place]:match("^(.-): (.*)$")
    headers[name] = value
  end
  local file = assert(io.open(parts[1], "rb"))
  local body = file:read("*a")
  file:close()
  return body, headers
end

function init(args)
  local is_list = args[2]:match("%.list$")
  for line in io.lines(args[2]) do
    local body, headers = line, { ["Content-Type"] = "application/json" }
    if is_list then body, headers = read_file(line) end
    if args[3] then headers["Authorization"] = "Bearer " .. args[3] end
    requests[#requests + 1] = wrk.format("POST", args[1], headers, body)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  -- errors.status counts every status of 400 and above; no server here answers 1xx or 3xx.
  io.write(string.format(
    "RESULT {\"seconds\":%.6f,\"requests\":%d,\"statuses\":%d,\"sockets\":%d," ..
      "\"timeouts\":%d,\"p50\":%.3f,\"p95\":%.3f,\"p99\":%.3f,\"longest\":%.3f}\n",
    summary.duration / 1e6, summary.requests, errors.status,
    errors.connect + errors.read + errors.write, errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3))
end
