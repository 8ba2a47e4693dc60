"""Nothing is lost: real processes on one store, in competition and killed.

A driver's tests plug in their config, which `NodeSession` takes and which can be written as JSON:

    from concurrency.hammer import hammer
    from concurrency.storm import storm

    hammer(config, processes=4).check()          # 8 clients push 25 values each onto one session's list
    asyncio.run(storm(config, kills=40))         # writers are killed, and every record looked at after each kill
"""
