"""The commonest passwords of at least eight characters, which nobody may choose.

Put together by hand from what is generally known of leaked passwords: keyboard runs, repeated and counted
digits, words with the usual endings, names, teams and bands; and the rest of the 3,000 commonest, from
leaked_passwords.py (OWASP ASVS 5.0, 6.2.4). All are in lower case: the comparison folds.
"""

from typing import Final

from stakehold.domain.leaked_passwords import LEAKED_PASSWORDS

_DIGITS = """
12345678 123456789 1234567890 12345678910 0123456789 01234567 012345678 87654321 987654321 0987654321
9876543210 11111111 22222222 33333333 44444444 55555555 66666666 77777777 88888888 99999999 00000000
111111111 000000000 1111111111 0000000000 9999999999 11223344 1122334455 112233445566 12121212 1212121212
12341234 1234512345 12344321 123123123 123321123 123123123123 13131313 14141414 147258369 147852369 159357159
159753159 789456123 741852963 963852741 321321321 456456456 789789789 10101010 20202020 01010101 101010101
11112222 12312312 1234554321 123454321 123456654321 11235813 31415926 314159265 27182818 19841984 12345679
123456780 1234567899 12345678901 123456123 123456123456 123456789123 123456789012 98765432 99887766 55667788
11221122 10203040 1020304050 00001111 00000001 69696969 80808080 90909090 23232323 21212121 25252525 52525252
45454545 54545454 78787878 01234567890 1234567891 19871987 19881988 19891989 19901990 19911991 20002000
20012001 20102010 20202021 20232023 20242024 20252025 01011980 01011990 01012000 31121999 12121990 11111990
"""

_KEYBOARD = """
qwertyui qwertyuiop qwertyuiop123 qwerty12 qwerty123 qwerty1234 qwerty12345 qwerty123456 qwerty321
qwertyqwerty 123qwerty 1234qwer 12345qwert 123456qwerty qwer1234 qwert123 qwert1234 qwert12345 qwerasdf
qweasdzxc qweasd123 qwe123qwe qweqweqwe qweewq123 qazwsxedc qazwsx123 qaz123wsx qazxswedc 1qaz2wsx
1qaz2wsx3edc 1qazxsw2 1qaz1qaz 2wsx3edc zaq12wsx zaq1zaq1 zaq1xsw2 zaqwsxcde !qaz2wsx 1q2w3e4r 1q2w3e4r5t
1q2w3e4r5t6y q1w2e3r4 q1w2e3r4t5 q1q1q1q1 1q1q1q1q asdfghjk asdfghjkl asdfghjkl; asdfasdf asdf1234 asdfqwer
asdasdasd asdasd123 asd123asd asdfgh12 asdfgh123 asdzxc123 zxcvbnm1 zxcvbnm123 zxcvbnm, zxcvbnm,. zxcvbnm,./
zxcvzxcv zxczxczxc zxc123zxc poiuytrewq lkjhgfdsa mnbvcxz1 qwertyu1 qwertz123 qwertzui qwertzuiop azertyuiop
azerty123 azertyui abcdefgh abcdefghi abcdefghij abcd1234 abcd12345 abcde123 abcdef12 abc12345 abc123456
abc123abc abcabcabc 1234abcd 12345abc 123456abc 123abc123 a1b2c3d4 a1b2c3d4e5 aaaaaaaa aaaaaaaaa aa123456
aa12345678 a1234567 a12345678 a123456789 a1a1a1a1 aaaa1111 abcdabcd q1234567 q12345678 q123456789 z1234567
s1234567 1234567a 12345678a 123456789a 123456aa 1234567q 12345678q 123456789q 1a2b3c4d 1234567z xxxxxxxx
zzzzzzzz qqqqqqqq ssssssss dddddddd ffffffff mmmmmmmm kkkkkkkk oooooooo asdfghjkl123 qwertyasdf 1234asdf
"""

_WORDS = """
password password0 password1 password2 password3 password4 password5 password6 password7 password8 password9
password! password01 password10 password11 password12 password13 password21 password22 password23 password69
password77 password88 password99 password007 password1! password12! password123 password123! password1234
password12345 password123456 password321 password2020 password2021 password2022 password2023 password2024
password2025 password2026 passwordpassword password@1 password@123 password#1 passw0rd passw0rd1 passw0rd!
passw0rd123 p@ssword p@ssword1 p@ssword123 p@ssw0rd p@ssw0rd1 p@ssw0rd! p@ssw0rd123 pa$$word pa$$word1
pa$$w0rd pa55word pa55w0rd passwort passwort1 passwort123 motdepasse contrasena contraseña contrasena1
wachtwoord wachtwoord1 haslo123 parola123 senha123 mypassword mypassword1 newpassword yourpassword nopassword
thepassword passpass password. passwords mypasswd passphrase pass1234 pass12345 pass123456 123password
1password 1234password administrator admin123 admin1234 admin12345 admin123456 admin@123 admin2020 admin2023
admin2024 adminadmin admin123! root1234 rootroot rootpass toor1234 superuser superadmin sysadmin letmein1
letmein12 letmein123 letmein! letmeinnow welcome1 welcome2 welcome12 welcome123 welcome1234 welcome!
welcome1! welcome@1 welcome@123 welcome01 welcome2020 welcome2023 welcome2024 changeme changeme1 changeme123
changeme! change123 changeit temp1234 temppass temporary temporary1 test1234 test12345 test123456 testtest
testing1 testing123 testpass testuser tester123 guest123 guestguest default1 default123 user1234 useruser
username username1 login123 secret12 secret123 secret1234 supersecret topsecret topsecret1 trustno1
opensesame openopen access12 access123 master12 master123 master1234 hello123 hello1234 hello12345 hellohello
helloworld hello123! goodbye1 iloveyou iloveyou1 iloveyou2 iloveyou12 iloveyou123 iloveyou! iloveu123
iloveme1 ilovegod ilovehim loveyou1 lovelove loveme12 lovely12 love1234 love12345 loveyou2 loverboy lovergirl
lover123 sweetheart sweetie1 sweet123 princess princess1 princess12 princess123 sunshine sunshine1 sunshine12
sunshine123 football football1 football12 football123 baseball baseball1 baseball12 baseball123 basketball
basketball1 volleyball softball softball1 hockey12 hockey123 soccer12 soccer123 superman superman1
superman123 batman12 batman123 spiderman spiderman1 ironman1 ironman123 starwars starwars1 starwars123
startrek pokemon1 pokemon12 pokemon123 pikachu1 pikachu123 minecraft minecraft1 minecraft123 nintendo
nintendo1 playstation playstation3 fortnite fortnite1 roblox123 whatever whatever1 whatever12 computer
computer1 computer12 computer123 internet internet1 internet123 samsung1 samsung123 iphone123 android1
google12 google123 facebook facebook1 facebook123 linkedin linkedin1 myspace1 youtube1 youtube123 microsoft
microsoft1 windows1 windows10 windows123 macintosh apple123 oracle123 cisco123 network1 database database1
postgres postgres1 postgres123 mysql123 redis123 jenkins1 docker123 kubernetes developer developer1 engineer
security security1 internet2 security123 bitcoin1 bitcoin123 ethereum ethereum1 crypto123 cryptocurrency
blockchain blockchain1 dogecoin satoshi1 hodlhodl tothemoon staking1 staking123 stakehold stakehold1
stakehold123 moonmoon millionaire money123 moneymoney money1234 cashmoney business business1 finance1
banking1 banker123 trading1 investor dragon12 dragon123 dragon1234 dragon01 dragons1 dragonball dragonball1
monkey12 monkey123 monkey1234 monkeys1 shadow12 shadow123 shadow01 michael1 michael123 michelle michelle1
jennifer jennifer1 jessica1 jessica123 jordan23 jordan123 jordan12 charlie1 charlie123 charlie2 matthew1
matthew123 patrick1 patrick123 anthony1 anthony123 william1 william123 daniel12 daniel123 thomas12 thomas123
robert12 robert123 joshua12 joshua123 andrew12 andrew123 ashley12 ashley123 amanda12 amanda123 nicole12
nicole123 hannah12 hannah123 samantha samantha1 elizabeth elizabeth1 stephanie christina christine christian
christian1 christopher alexander alexander1 alexandra alexandra1 alejandro alejandra francisco benjamin
benjamin1 nicholas nicholas1 jonathan jonathan1 sebastian sebastian1 gabriel1 gabriela fernando fernando1
victoria victoria1 veronica veronica1 caroline caroline1 isabella isabella1 patricia patricia1 margaret
margaret1 katherine catherine catherine1 danielle danielle1 brittany brittany1 courtney courtney1 kimberly
kimberly1 vanessa1 vanessa123 rebecca1 rebecca123 natalie1 melissa1 melissa123 barbara1 richard1 richard123
steven123 brandon1 brandon123 spencer1 cameron1 maverick maverick1 goldfish butterfly butterfly1 butterfly123
elephant elephant1 dolphin1 dolphins dolphins1 tigger12 tigger123 tiger123 tigers12 lionking panther1
panthers leopard1 kittycat kitty123 kitten12 cheetah1 mustang1 mustang123 mustangs corvette corvette1
ferrari1 ferrari123 porsche1 porsche911 mercedes mercedes1 chevrolet camaro69 harley12 harleydavidson
yamaha12 yamaha123 toyota123 honda123 lamborghini liverpool liverpool1 liverpool123 chelsea1 chelsea123
chelseafc arsenal1 arsenal123 manchester manchester1 manutd123 manunited barcelona barcelona1 barcelona123
realmadrid realmadrid1 juventus juventus1 juventus123 milan123 yankees1 yankees123 steelers steelers1
cowboys1 cowboys123 patriots patriots1 packers1 packers123 raiders1 redskins lakers24 lakers123 chicago1
chicago123 newyork1 newyork123 california california1 australia australia1 brooklyn brooklyn1 scotland
scotland1 england1 germany1 london123 paris123 metallica metallica1 slipknot slipknot1 slipknot666 nirvana1
nirvana123 greenday greenday1 blink182 linkinpark eminem12 eminem123 50cent50 beatles1 rockstar rockstar1
rocknroll guitar12 guitar123 music123 musicman drummer1 hiphop123 freedom1 freedom12 freedom123 liberty1
america1 america123 american1 champion champion1 winner12 winner123 warrior1 warriors warriors1 soldier1
marines1 military ranger12 ranger123 hunter12 hunter123 hunting1 fishing1 fishing123 gangster gangster1
killer12 killer123 killer666 vampire1 vampires zombie123 monster1 monster123 phantom1 ghost123 devil666
satan666 jesus123 jesus777 jesuschrist jesusislord blessed1 blessing heaven12 angel123 angel1234 angels12
angelina angelica diamond1 diamond123 diamonds crystal1 chocolate chocolate1 chocolate123 cookie12 cookie123
cookies1 cupcake1 strawberry blueberry banana12 banana123 orange12 orange123 pineapple cherry12 cherry123
pumpkin1 popcorn1 cheese123 cheesecake coffee123 cocacola cocacola1 pepsi123 whiskey1 budweiser heineken
snowball snowball1 snowflake snowman1 rainbow1 rainbow123 flower12 flower123 flowers1 sunflower sunflower1
butterfly7 moonlight moonlight1 midnight midnight1 twilight twilight1 starlight starlight1 december november
november1 september october1 february saturday thursday wednesday birthday birthday1 christmas christmas1
halloween summer12 summer123 summer01 summer2020 summer2021 summer2022 summer2023 summer2024 summer2025
winter12 winter123 winter2020 winter2021 winter2022 winter2023 winter2024 winter2025 spring2023 spring2024
spring2025 autumn2023 autumn2024 autumn2025 monday123 friday123 january1 august12 babygirl babygirl1
babygirl12 babygirl123 babyboy1 babyboy123 babydoll babyblue baby1234 beautiful beautiful1 beautiful123
gorgeous gorgeous1 handsome sexygirl sexy1234 sexylady hotgirl1 playboy1 playboy123 fuckyou1 fuckyou2
fuckyou12 fuckyou123 fuckoff1 fuckme69 asshole1 bullshit bullshit1 bitch123 pussy123 biteme12 biteme123
mother12 mother123 motherfucker father12 mommy123 daddy123 family12 family123 friends1 friends12 friends123
friendship forever1 forever21 forever123 together always12 remember remember1 nothing1 something everything
anything1 somebody scooter1 skateboard skater12 surfing1 snoopy12 snoopy123 garfield garfield1 mickey12
mickey123 mickeymouse minnie123 tinkerbell tinkerbell1 cinderella hellokitty hellokitty1 spongebob spongebob1
scoobydoo scooby12 simpsons homer123 bartsimpson sailormoon naruto12 naruto123 onepiece onepiece1 final123
warcraft warcraft1 starcraft counterstrike leagueoflegends runescape runescape1 halo1234 assassin assassin1
matrix12 matrix123 terminator gandalf1 lordoftherings harrypotter harrypotter1 hogwarts voldemort jackson1
jackson5 einstein einstein1 napoleon mohammed mohammed1 muhammad muhammad1 abdullah ibrahim1 krishna1
krishna123 ganesh123 sairam123 omsairam india123 pakistan pakistan1 pakistan123 bangladesh indonesia malaysia
philippines singapore vietnam1 brasil123 mexico123 colombia argentina portugal benfica1 galatasaray
fenerbahce besiktas sayang123 bismillah bismillah1 alhamdulillah assalamualaikum killyou1 qwerty!@# !@#$%^&*
!@#$%^&*() !qaz1qaz 1234!@#$ abcd!234 correcthorsebatterystaple ncc1701d ncc1701e thx1138thx rush2112
bond0007 jamesbond jamesbond007 agent007 blahblah blahblah1 blah1234 lalalala hahahaha hahaha123 nononono
yesyesyes bigdaddy bigdaddy1 bigboy12 bigdog12 bulldog1 bulldogs bulldogs1 redskins1 redsox04 redsox123
redwings eagles12 eagles123 falcon12 falcons1 broncos1 dallas22 texas123 longhorn longhorns gators12 buckeyes
wildcats wildcat1 trojans1 spartans spartan1 spartan117 crusader hurricane thunder1 thunder123 lightning
lightning1 tornado1 phoenix1 phoenix123 firebird fireball fireman1 firefighter trinity1 trinity123 genesis1
revolution universe galaxy123
"""

COMMON_PASSWORDS: Final = frozenset((_DIGITS + _KEYBOARD + _WORDS).split()) | LEAKED_PASSWORDS
