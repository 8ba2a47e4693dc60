-- For wrk: asks with the cookies of a file, one a line, in turn; ends with [requests, seconds, failures] as JSON.
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

function done(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("[%d, %.6f, %d]", summary.requests, summary.duration / 1e6, failed))
end
