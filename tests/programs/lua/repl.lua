-- Reads a line of Lua, answers with a line. Each line is run through pcall: a new entry into luaV_execute,
-- while this loop stays for ever in the one that was entered first.
local kept = 0
for line in io.lines() do
  kept = kept + 1
  LINES = kept
  local chunk, mistake = load(line)
  local ok, answer = pcall(chunk or function() error(mistake, 0) end)
  io.write(tostring(answer), "\n")
  io.flush()
end
os.exit(7)
