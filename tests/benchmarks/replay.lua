-- For wrk: asks with the cookies of a file, one a line, in turn. Ends with a line of JSON: [requests, seconds, answers from
-- 400 on, broken connections, milliseconds of the median answer, of the 99th of a hundred, of the slowest]. Looking at
-- each answer, for those below 400 that are not 200, would slow wrk down.
local requests = {}
local turn = 0

function init(args)
  for cookie in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", nil, { ["Cookie"] = cookie, ["Host"] = "127.0.0.1" })
  end
  if #requests == 0 then
    requests[1] = wrk.format("GET", nil, { ["Host"] = "127.0.0.1" })
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  local waits = string.format("%.3f, %.3f, %.3f", latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3)
  print(string.format("[%d, %.6f, %d, %d, %s]", summary.requests, summary.duration / 1e6, errors.status, broken, waits))
end
